"""Who answers for the products."""

from dataclasses import dataclass

__all__ = ["NOBODY", "UNSTATED", "Issuer"]

UNSTATED = "not stated"


@dataclass(frozen=True)
class Issuer:
    """ACDD 1.3's attributes of it, and its number as originating centre in GRIB2: WMO's common code tables C-11, whose
    65535 means missing, and C-12."""

    institution: str = UNSTATED
    email: str = UNSTATED
    url: str = UNSTATED
    licence: str = "As the operator of this installation decides"
    naming_authority: str = "dacycle"
    centre: int = 65535
    subcentre: int = 0

    @property
    def name(self) -> str:
        """Whose name stands for who made and who publishes them."""
        return "dacycle" if self.institution == UNSTATED else self.institution


NOBODY = Issuer()
