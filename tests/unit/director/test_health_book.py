"""What checks ask for besides a verdict reaches admission as advice, in an object that is replaced and never changed."""

from ipaddress import ip_address

from piranha.director.admission import Advised
from piranha.director.health import HealthBook
from piranha.model.service import DestinationKey, Protocol, ServiceKey
from piranha.monitor.target import TargetKey

SERVICE = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=80)
ONE, TWO = (
    TargetKey(service=SERVICE, destination=DestinationKey(address=ip_address(f"10.0.0.{n}"), port=80)) for n in (1, 2)
)


async def test_weights_of_checks() -> None:
    book = HealthBook()
    empty = book.advised
    book.weigh(ONE, 7)
    book.weigh(TWO, 0)
    assert empty == {}
    assert book.advised == {ONE: Advised(weight=7), TWO: Advised(weight=0)}
    assert book.changed.is_set()
    book.weigh(TWO, None)
    kept = book.advised
    book.keep([ONE])
    assert book.advised is kept
    book.keep([])
    assert book.advised == {}
