"""Every table of this package, one module for each subject. All of them are named `tconnect_*`."""

from __future__ import annotations

from tconnect_pyramid.models.base import TABLE_PREFIX, VERSION_TABLE, AccountKey, Base, include_name
from tconnect_pyramid.models.client import (
    AwaitedMember,
    Collection,
    ConnectionRequest,
    Link,
    Server,
    ServerSession,
    SignInRequest,
)
from tconnect_pyramid.models.directory import (
    Account,
    Audience,
    AudienceMember,
    Course,
    Enrolment,
    Group,
    GroupMember,
)
from tconnect_pyramid.models.runs import Approval, Lease, Run, RunLine
from tconnect_pyramid.models.server import Client, ClientAudience, ClientCourse, ClientSession
from tconnect_pyramid.models.signins import SignIn
from tconnect_pyramid.models.site import AuditEntry, Notice, Option, SiteValue

__all__ = [
    "TABLE_PREFIX",
    "VERSION_TABLE",
    "Account",
    "AccountKey",
    "Approval",
    "Audience",
    "AudienceMember",
    "AuditEntry",
    "AwaitedMember",
    "Base",
    "Client",
    "ClientAudience",
    "ClientCourse",
    "ClientSession",
    "Collection",
    "ConnectionRequest",
    "Course",
    "Enrolment",
    "Group",
    "GroupMember",
    "Lease",
    "Link",
    "Notice",
    "Option",
    "Run",
    "RunLine",
    "Server",
    "ServerSession",
    "SignIn",
    "SignInRequest",
    "SiteValue",
    "include_name",
]
