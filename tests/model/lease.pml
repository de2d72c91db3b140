/* Lease, probe and takeover of two directors, in ticks. Checked by `make check-model`; every order of events is tried.
 *
 * One tick is half a heartbeat of the real thing: a heartbeat every 2 ticks, a lease of 6, a dead time of 8. A director may freeze
 * and thaw at any tick, and a heartbeat may be delayed by a tick, or lost. A packet that has arrived waits in the socket of a
 * frozen director. The wire answers at once.
 *
 * Claim: never are both gates open. Switches take a rule away; each must break the claim:
 *   -DNO_PROBE    takes over without asking the wire
 *   -DREVIVE      a lease that has run out is renewed, and its owner goes on
 */
#define BEAT 2
#define LEASE 6
#define DEAD 8

byte lease[2];    /* ticks until the gate shuts; the kernel counts, frozen or not */
byte silence[2];  /* ticks since the other was heard, counted while listening */
byte beat[2];     /* ticks until the next heartbeat */
byte wire[2];     /* heartbeat on its way from this director: 0 none, 1 arrives now, 2 next tick */
bool socket[2];   /* a heartbeat of the other waits to be read */
bool serves[2];
bool frozen[2];

#define OTHER (1 - me)

inline claim(me) {
    serves[me] = true;
    lease[me] = LEASE;
    wire[me] = 2;
    beat[me] = BEAT
}

inline give_up(me) {
    serves[me] = false;
    lease[me] = 0;
    silence[me] = 0
}

/* The kernel's half: time passes, packets move. */
inline pass_tick(me) {
    if
    :: lease[me] > 0 -> lease[me]--
    :: else
    fi;
    if
    :: beat[me] > 0 -> beat[me]--
    :: else
    fi;
    if
    :: !serves[me] && silence[me] < DEAD -> silence[me]++
    :: else
    fi;
    if
    :: wire[me] == 0
    :: wire[me] > 0 -> wire[me] = 0 /* lost */
    :: wire[me] == 2 -> wire[me] = 1
    :: wire[me] == 1 -> wire[me] = 0; socket[OTHER] = true
    fi;
    if
    :: frozen[me] = true
    :: frozen[me] = false
    fi
}

/* The daemon's half: its lease first, then its socket, then its timers. */
inline act(me) {
    if
    :: frozen[me]
    :: !frozen[me] ->
#ifndef REVIVE
        if
        :: serves[me] && lease[me] == 0 -> give_up(me)
        :: else
        fi;
#endif
        if
        :: socket[me] ->
            socket[me] = false;
            if
            :: serves[me] && me == 1 -> give_up(me) /* the primary, director 0, stays */
            :: serves[me] && me == 0
            :: !serves[me] -> silence[me] = 0
            fi
        :: else
        fi;
        if
        :: serves[me] && beat[me] == 0 ->
            lease[me] = LEASE;
            wire[me] = 2;
            beat[me] = BEAT
        :: !serves[me] && silence[me] >= DEAD ->
#ifdef NO_PROBE
            claim(me)
#else
            if
            :: lease[OTHER] > 0 -> silence[me] = DEAD - BEAT /* it answers: hold, and ask again */
            :: else -> claim(me)
            fi
#endif
        :: else
        fi
    fi
}

init {
    claim(0);
    do
    :: atomic {
            pass_tick(0);
            pass_tick(1);
            if
            :: act(0); act(1)
            :: act(1); act(0)
            fi;
            assert(!(lease[0] > 0 && lease[1] > 0))
        }
    od
}
