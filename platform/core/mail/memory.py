"""Mail that goes no further than this process."""

from cloudserve.core.mail.abc import Mailer, Message


class MemoryMailer(Mailer):
    """Keeps messages in `sent`, for tests."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def send(self, message: Message, *, retry: bool = True) -> None:
        """Keeps the message."""
        self.sent.append(message)
