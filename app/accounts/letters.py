"""What people are written, in plain words.

A name may have been chosen by a stranger, so in a letter it can't look like an address that mail programs turn into a
link, nor turn, break or hide what follows it.
"""

from dataclasses import dataclass

from app.accounts.links import Purpose
from app.accounts.records import User
from app.mail import Letter

_LONGEST = 60
_QUOTES = "“”„‟«»\"'`"


@dataclass(frozen=True, slots=True)
class Letters:
    """Writes letters for the server at this address."""

    site: str

    def with_link(self, purpose: Purpose, user: User, address: str, link: str) -> Letter:
        """The letter that carries a link."""
        match purpose:
            case Purpose.INVITATION:
                return self.invitation(user, address, link)
            case Purpose.PASSWORD_RESET:
                return self.password_reset(user, address, link)
            case Purpose.EMAIL:
                return self.confirmation(user, address, link)

    def invitation(self, user: User, address: str, link: str) -> Letter:
        """Someone has an account here and is to choose a password."""
        return self._letter(
            address,
            f"You are invited to {self._host}",
            user,
            f"An account was made for you at {self.site}.",
            "Choose a password for it here, within seven days:",
            link,
            "The link works once. Whoever has it gets into the account, so pass this e-mail on to nobody.",
            "If you don’t know what this is about, do nothing.",
        )

    def password_reset(self, user: User, address: str, link: str) -> Letter:
        """Someone forgot the password, or an operator thinks that they should choose another one."""
        return self._letter(
            address,
            f"Choose a new password for {self._host}",
            user,
            f"A new password was asked for, for your account at {self.site}.",
            "Choose it here, within one hour:",
            link,
            "The link works once. Whoever has it gets into the account, so pass this e-mail on to nobody.",
            "If you did not ask for this, do nothing: your password stays as it is.",
        )

    def confirmation(self, user: User, address: str, link: str) -> Letter:
        """Someone says that this is their address."""
        return self._letter(
            address,
            f"Confirm your address for {self._host}",
            user,
            f"This address was given for an account at {self.site}.",
            "If it is your account, confirm the address here, within 24 hours:",
            link,
            "If you don’t know what this is about, do nothing: the address is not used then.",
        )

    def address_notice(self, user: User, address: str) -> Letter:
        """To the address from before, when another one is given."""
        return self._letter(
            address,
            f"Your address for {self._host} is about to change",
            user,
            f"Another e-mail address was given for your account at {self.site}.",
            "It takes the place of this one as soon as it is confirmed.",
            "If that was not you, somebody else is signed in as you. Sign in, change your password, and sign out every"
            "\nother browser: the other address can’t be confirmed any more then.",
        )

    def _letter(self, address: str, subject: str, user: User, *parts: str) -> Letter:
        end = f"This e-mail was written by the server at {self.site}. Nobody reads answers to it."
        return Letter(
            address, subject, "\n\n".join([f"Hello {told(user.name)},", *parts, "-- \n" + end]) + "\n"
        )

    @property
    def _host(self) -> str:
        return self.site.partition("://")[2].partition("/")[0]


def told(name: str) -> str:
    """A name as letters say it: printable, short, without quotes, and with a blank in whatever could be an address."""
    plain = "".join(letter if letter.isprintable() and letter not in _QUOTES else " " for letter in name)
    for sign in "./:@\\<>":
        plain = plain.replace(sign, f"{sign} ")
    short = " ".join(plain.split())
    return short if len(short) <= _LONGEST else f"{short[:_LONGEST].rstrip()}…"
