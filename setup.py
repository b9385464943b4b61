"""Metadata, dependencies, extras and entry points of the package; tools are set up in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

POSTGRESQL = ["psycopg[binary]>=3.2"]
REDIS = ["redis>=5.2"]
TESTING = [
    "beautifulsoup4>=4.12",
    "hypothesis>=6.100",
    "playwright>=1.50",
    "pytest>=8.3",
    "pytest-xdist>=3.6",
    "webtest>=3.0.4",
]
LINT = ["mypy>=1.15", "ruff>=0.15", "types-setuptools"]

setup(
    name="tconnect_pyramid",
    version="0.1.0",
    description="Totara Connect for Pyramid: single sign-on and synchronised people between sites, in either role",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="tconnect_pyramid contributors",
    license="MIT",
    license_files=["LICENSE"],
    keywords="pyramid totara connect single-sign-on sso users audiences synchronisation",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Web Environment",
        "Framework :: Pyramid",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Internet :: WWW/HTTP :: WSGI",
        "Topic :: System :: Systems Administration :: Authentication/Directory",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["tconnect_pyramid", "tconnect_pyramid.*"]),
    package_data={
        "tconnect_pyramid": [
            "py.typed",
            "locale/*/LC_MESSAGES/*.mo",
            "migrations/**/*.py",
            "migrations/*.mako",
            "static/**/*",
            "templates/**/*",
        ],
    },
    zip_safe=False,
    install_requires=[
        "SQLAlchemy>=2.0",
        "WTForms>=3.3",
        "alembic>=1.14",
        "babel>=2.16",
        "bcrypt>=4.2",
        "celery>=5.5",
        "click>=8.1",
        "cryptography>=43",
        "msgspec>=0.19",
        "nh3>=0.3",
        # Earlier ones write out of bounds while reading some images.
        "pillow>=12.1.1",
        "plaster>=1.1",
        "plaster_pastedeploy>=1.0",
        "pyramid>=2.0",
        "pyramid_jinja2>=2.10",
        "pyramid_tm>=2.5",
        "rich>=13.9",
        # Pyramid imports pkg_resources, which setuptools 82 no longer has; from 80.9 on every start of a
        # site or command would print a warning of it.
        "setuptools<80.9",
        "transaction>=4.0",
        # Earlier ones read a line of a chunked reply into memory however long it is, and before 2.6 decode bombs.
        "urllib3>=2.8",
        "waitress>=3.0.1",
        "zope.interface>=6.0",
        "zope.sqlalchemy>=3.1",
    ],
    extras_require={
        "postgresql": POSTGRESQL,
        "redis": REDIS,
        "testing": TESTING,
        "lint": LINT,
        "dev": [*POSTGRESQL, *REDIS, *TESTING, *LINT],
    },
    entry_points={
        "console_scripts": ["tconnect = tconnect_pyramid.cli:main"],
        "paste.app_factory": ["main = tconnect_pyramid.site:main"],
    },
)
