"""Sending mail: one contract (`abc`), one file for each way, and what makes a letter of words."""

from cloudserve.core.mail.abc import Mailer, MailError, Message, UnusableMailer
from cloudserve.core.mail.memory import MemoryMailer
from cloudserve.core.mail.nowhere import NoMail

__all__ = ["MailError", "Mailer", "MemoryMailer", "Message", "NoMail", "UnusableMailer"]
