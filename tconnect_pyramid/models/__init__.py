"""Every table of this package, one module for each subject. All of them are named `tconnect_*`."""

from __future__ import annotations

from tconnect_pyramid.models.base import TABLE_PREFIX, VERSION_TABLE, AccountKey, Base, include_name
from tconnect_pyramid.models.client import (
    AwaitedMember,
    Collection,
    ConnectionRequest,
    Counterpart,
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
    FormerMember,
    Group,
    GroupMember,
)
from tconnect_pyramid.models.hierarchy import (
    Organisation,
    OrganisationFramework,
    OrganisationType,
    OrganisationTypeField,
    OrganisationValue,
    Position,
    PositionFramework,
    PositionType,
    PositionTypeField,
    PositionValue,
)
from tconnect_pyramid.models.profiles import Job, Picture, ProfileField, ProfileValue
from tconnect_pyramid.models.runs import Approval, Lease, Run, RunLine, TaskState
from tconnect_pyramid.models.server import (
    Client,
    ClientAudience,
    ClientCourse,
    ClientOrganisationFramework,
    ClientPositionFramework,
    ClientSession,
)
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
    "ClientOrganisationFramework",
    "ClientPositionFramework",
    "ClientSession",
    "Collection",
    "ConnectionRequest",
    "Counterpart",
    "Course",
    "Enrolment",
    "FormerMember",
    "Group",
    "GroupMember",
    "Job",
    "Lease",
    "Link",
    "Notice",
    "Option",
    "Organisation",
    "OrganisationFramework",
    "OrganisationType",
    "OrganisationTypeField",
    "OrganisationValue",
    "Picture",
    "Position",
    "PositionFramework",
    "PositionType",
    "PositionTypeField",
    "PositionValue",
    "ProfileField",
    "ProfileValue",
    "Run",
    "RunLine",
    "Server",
    "ServerSession",
    "SignIn",
    "SignInRequest",
    "SiteValue",
    "TaskState",
    "include_name",
]
