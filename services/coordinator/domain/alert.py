"""What a person has to see to."""

from typing import NamedTuple


class PersonalAlert(NamedTuple):
    """`level` is info, warning or critical. One voice per cause."""

    cause: str
    level: str
    sentence: str
    remedy: str = ""
