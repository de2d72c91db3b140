#!/bin/bash
# The first process of the guest. The kernel command line gives JOB, the directory shared with the host; $JOB/settings
# gives MODULES_ROOT, TOOLS_ROOT, MODULES and SHARED; $JOB/command is what to run. Results: $JOB/{stdout,stderr,status}.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
root=/mnt/root

halt_guest() {
	sync
	mountpoint -q /proc && echo o >/proc/sysrq-trigger && sleep 5
	poweroff -f 2>/dev/null
}

give_up() {
	echo "guest: cannot $*" >&2
	echo 125 >"$JOB/status" 2>/dev/null || echo 125 >"$root$JOB/status"
	halt_guest
}

. "$JOB/settings"
mount -t proc proc /proc || give_up "mount /proc"
release=$(</proc/sys/kernel/osrelease)

# The host's files, read only, under a layer in memory that takes every write.
mount -t tmpfs -o size=90% layer /mnt && mkdir /mnt/written /mnt/work $root || give_up "make the writable layer"
LD_LIBRARY_PATH=$(echo "$TOOLS_ROOT"/lib/* "$TOOLS_ROOT"/usr/lib/* | tr ' ' :) \
	bash -c 'exec -a insmod "$@"' - "$TOOLS_ROOT/bin/kmod" "$MODULES_ROOT/$release/kernel/fs/overlayfs/overlay.ko" ||
	give_up "load overlay"
mount -t overlay -o lowerdir=/,upperdir=/mnt/written,workdir=/mnt/work overlay $root || give_up "mount the overlay"
mkdir -p $root/lib/modules
ln -sfn "$MODULES_ROOT/$release" "$root/lib/modules/$release"
for library in "$TOOLS_ROOT"/lib/*/lib*.so.* "$TOOLS_ROOT"/usr/lib/*/lib*.so.*; do
	name=$(basename "$library")
	folder=$root/lib/$(basename "$(dirname "$library")")
	[ -e "$folder/$name" ] || ln -s "$library" "$folder/$name"
done
for program in "$TOOLS_ROOT"/sbin/ipvsadm*; do
	ln -sfn "$program" "$root/usr/sbin/$(basename "$program")"
done
ln -sfn "$TOOLS_ROOT/bin/kmod" $root/usr/sbin/modprobe

mount -n --move /proc $root/proc
mount -n --move /dev $root/dev
mount -t sysfs sys $root/sys
mount -t tmpfs -o mode=755 run $root/run
mkdir -p $root/dev/pts $root/dev/shm $root/run/lock $root/run/netns $root/run/host
mount -t devpts devpts $root/dev/pts
mount -t tmpfs shm $root/dev/shm
ln -sfn /proc/self/fd $root/dev/fd
for folder in "$JOB" "${SHARED[@]}"; do
	mkdir -p "$root$folder"
	mount -t hostfs none "$root$folder" -o "$folder" || give_up "share $folder"
done

cd $root && pivot_root . run/host || give_up "enter the new root"
root=
cd /
mkdir -p /dev/net
modprobe -a $MODULES || give_up "load $MODULES"
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
ip link set lo up

setsid -w bash "$JOB/command" <"$JOB/stdin" >"$JOB/stdout" 2>"$JOB/stderr"
echo $? >"$JOB/status"
halt_guest
