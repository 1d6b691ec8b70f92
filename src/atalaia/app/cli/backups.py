"""``atalaia backup`` and ``restore``: on the site itself, as its owner may; no service is asked."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atalaia.app.cli.models import agreed
from atalaia.app.cli.output import columns, note, show_local
from atalaia.app.cli.progress import bar
from atalaia.app.cli.service import DataDir, settings_of
from atalaia.app.cli.session import Output, OutputOption, examples, session_of

if TYPE_CHECKING:
    from atalaia.app.backup import Manifest, Site, Target
    from atalaia.app.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Backups: of the whole site, while it runs.",
    epilog=examples("atalaia backup create --to /mnt/backups", "atalaia backup list --to s3://backups/atalaia"),
)
_SHOWN = columns(
    "backup_id=backup", "snapshot_at", "seconds", "size_bytes", "copied_bytes", "objects", "sealed", "release",
    "damaged", times=("snapshot_at",),
)  # fmt: skip
_VERIFIED = columns("backup_id=backup", "snapshot_at", "bytes_read", "ok", "detail", times=("snapshot_at",))
_PRUNED = columns("backup_id=backup", "removed")
_RESTORED = columns(
    "backup_id=backup", "snapshot_at", "lost_s", "took_s", "objects", "size_bytes", "published", "damaged",
    "before", "ok", times=("snapshot_at",),
)  # fmt: skip
_FINDINGS = columns("check", "ok", "detail", "advice")
_PLAN = columns("step", "detail")

To = Annotated[
    str | None, typer.Option("--to", help="Folder or bucket of backups; by default the setting backup.to.")
]
From = Annotated[
    str | None, typer.Option("--from", help="Folder or bucket of backups; by default the setting backup.to.")
]
At = Annotated[
    str | None, typer.Option("--at", help="Id of a backup, or a time: the newest before it. Default: the newest.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]


@app.command(
    "create",
    epilog=examples("atalaia backup create --to /mnt/backups", "atalaia backup create --output json"),
)
def create_backup(
    ctx: typer.Context,
    to: To = None,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="With the signing keys, although the backup is not sealed.")
    ] = False,
    dry_run: DryRun = False,
    data_dir: DataDir = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a backup; the service may run. What is there from earlier backups is not copied again."""
    from atalaia.app.backup import create

    session = session_of(ctx, output)
    settings = settings_of(data_dir, None, None)
    site, place = _site(settings), _place(settings, to)
    if dry_run:
        show_local(session, _plan_of_creation(site, place, with_secrets), _PLAN)
        return
    target = _target(settings, to, writes=True)
    with bar("Backing up", 1.0) as advance:
        manifest = create(site, target, with_secrets=with_secrets, report=advance)
    show_local(session, [_row(manifest)], _SHOWN)
    if manifest.damaged:
        note(f"{len(manifest.damaged)} objects are gone or damaged, and are not in it: {manifest.damaged[0]}, ...")


@app.command("list", epilog=examples("atalaia backup list --to /mnt/backups", "atalaia backup list --output json"))
def list_backups(
    ctx: typer.Context, to: To = None, data_dir: DataDir = None, output: OutputOption = Output.TABLE
) -> None:
    """List backups, the newest first."""
    session = session_of(ctx, output)
    target = _target(settings_of(data_dir, None, None), to)
    show_local(session, [_listed(target, backup_id) for backup_id in reversed(target.ids())], _SHOWN)


@app.command(
    "verify",
    epilog=examples("atalaia backup verify --to /mnt/backups", "atalaia backup verify --at 2026-01-31T12:00:00Z"),
)
def verify_backup(
    ctx: typer.Context,
    to: To = None,
    at: At = None,
    data_dir: DataDir = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Read a backup from end to end, as a restore would; fails when anything is gone or damaged."""
    from atalaia.app.backup import chosen, verify

    session = session_of(ctx, output)
    target = _target(settings_of(data_dir, None, None), to)
    manifest = chosen(target, at)
    with bar("Verifying", 1.0) as advance:
        read = verify(target, manifest, advance)
    row = {"backup_id": manifest.backup_id, "snapshot_at": _time(manifest.snapshot_at), "bytes_read": read}
    show_local(session, [{**row, "ok": True, "detail": "every piece is there and whole"}], _VERIFIED)


@app.command(
    "prune",
    epilog=examples("atalaia backup prune --to /mnt/backups --dry-run", "atalaia backup prune --yes"),
)
def prune_backups(
    ctx: typer.Context,
    to: To = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Remove backups older than backup.keep_days, and what only they were made of."""
    from atalaia.app.backup import prune

    session = session_of(ctx, output)
    settings = settings_of(data_dir, None, None)
    target = _target(settings, to)
    plan = prune(target, settings.backup, dry_run=True)
    note(f"{len(plan.backups)} backups and {plan.pieces} pieces go, {plan.kept} backups stay.")
    if not dry_run and (plan.backups or plan.pieces):
        agreed(yes)
        plan = prune(target, settings.backup)
    show_local(session, [{"backup_id": one, "removed": not dry_run} for one in plan.backups], _PRUNED)


def restore_backup(
    ctx: typer.Context,
    source: From = None,
    at: At = None,
    dry_run: DryRun = False,
    force: Annotated[
        bool, typer.Option("--force", help="In place of the site that is here; its files are put aside.")
    ] = False,
    data_dir: DataDir = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a site out of a backup, where there is none; the service must not run."""
    from atalaia.app.backup import check, chosen, restore

    session = session_of(ctx, output)
    settings = settings_of(data_dir, None, None)
    target = _target(settings, source)
    manifest = chosen(target, at)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    site = _site(settings)
    check(site, manifest, force=force)
    if dry_run:
        show_local(session, _plan_of_restore(site, target, manifest), _PLAN)
        return
    with bar("Restoring", 1.0) as advance:
        told = restore(site, target, manifest, force=force, report=advance)
    findings, published = _looked_after(settings)
    ok = all(finding["ok"] for finding in findings)
    row = {**asdict(told), "snapshot_at": _time(told.snapshot_at), "published": published, "ok": ok}
    show_local(session, [{**row, "findings": findings}], _RESTORED)
    if session.output is Output.TABLE:
        show_local(session, findings, _FINDINGS)
    if not ok:
        note("The site is restored, but not all is well; `atalaia doctor` looks again.")
        raise typer.Exit(1)


def _looked_after(settings: "Settings") -> tuple[list[dict[str, Any]], int]:
    """Bring the schema up to date, publish what the registry misses, and see whether all is well."""
    from atalaia.app.backup import republish
    from atalaia.app.build import build
    from atalaia.app.diagnosis import diagnose

    atalaia = build(settings)
    try:
        published, failed = republish(atalaia.database, atalaia.blobs, atalaia.registry)
    finally:
        atalaia.database.close()
    findings = [asdict(finding) for finding in diagnose(settings)]
    if failed:
        detail, advice = f"{failed} versions are not in the registry", "restore it as its operators do"
        findings.append({"check": "versions", "ok": False, "detail": detail, "advice": advice})
    return findings, published


def _site(settings: "Settings") -> "Site":
    from atalaia.app.backup import Site
    from atalaia.app.build import open_blobs

    return Site(settings, open_blobs(settings))


def _place(settings: "Settings", url: str | None) -> str:
    from atalaia.core.errors import Fault, Invalid

    place = url or settings.backup.to
    if place is None:
        reason = "name a folder or a bucket, here or in the setting backup.to"
        raise Invalid("invalid_settings", reason, faults=[Fault("/backup/to", reason)])
    return place


def _target(settings: "Settings", url: str | None, *, writes: bool = False) -> "Target":
    from pathlib import Path

    from atalaia.app.backup import open_target
    from atalaia.core.errors import Missing

    place = _place(settings, url)
    if "://" not in place and not writes and not Path(place).is_dir():
        raise Missing("unknown_backup", f"there is no folder {place}")
    return open_target(place, settings.backup, settings.blobs)


def _plan_of_creation(site: "Site", place: str, with_secrets: bool) -> list[dict[str, str]]:
    from atalaia.app.backup.site import references
    from atalaia.core.errors import Missing

    if site.is_empty():
        raise Missing("no_site", f"there is no site in {site.folder}")
    sealed = bool(site.settings.backup.passphrase_file or site.settings.backup.key_file)
    database = site.open_database()
    try:
        with database.read() as session:
            named = len(references(session))
    finally:
        database.close()
    kind = "SQLite, by its online backup" if database.is_sqlite else "PostgreSQL, by pg_dump"
    registry = "the registry's folder" if site.keeps_registry else "not the registry: its server has its operators"
    return [
        {"step": "database", "detail": kind},
        {"step": "objects", "detail": f"{named}, those that are not in {place} yet"},
        {"step": "registry", "detail": registry},
        {
            "step": "secrets",
            "detail": "signing keys" if with_secrets or sealed else "none: the backup is not sealed",
        },
        {"step": "manifest", "detail": "sealed" if sealed else "readable"},
    ]


def _plan_of_restore(site: "Site", target: "Target", manifest: "Manifest") -> list[dict[str, str]]:
    kinds = {kind: len(manifest.of_kind(kind)) for kind in ("object", "registry", "secret", "file")}
    return [
        {"step": "read", "detail": f"{manifest.backup_id} of {_time(manifest.snapshot_at)} from {target.name}"},
        {"step": "objects", "detail": f"{kinds['object']} to {site.blobs.check()}"},
        {
            "step": "files",
            "detail": f"{kinds['registry']} of the registry, {kinds['secret']} secrets, {kinds['file']} more",
        },
        {"step": "database", "detail": f"{manifest.database}, schema {manifest.revision}, last of all"},
    ]


def _listed(target: "Target", backup_id: str) -> dict[str, Any]:
    from atalaia.core.errors import Broken

    try:
        return _row(target.read(backup_id))
    except Broken as error:  # the others are wanted all the more
        return {"backup_id": backup_id, "damaged": error.detail}


def _row(manifest: "Manifest") -> dict[str, Any]:
    return {
        "backup_id": manifest.backup_id,
        "snapshot_at": _time(manifest.snapshot_at),
        "seconds": (manifest.finished_at - manifest.started_at) / 1e6,
        "size_bytes": manifest.size_bytes,
        "copied_bytes": manifest.copied_bytes,
        "objects": len(manifest.of_kind("object")),
        "sealed": manifest.sealed,
        "release": manifest.release,
        "damaged": len(manifest.damaged),
    }


def _time(micros: int) -> str:
    from atalaia.core.clock import isoformat

    return isoformat(micros)


def add_to(program: typer.Typer) -> None:
    """Make these commands of `program`."""
    program.add_typer(app, name="backup")
    told = examples("atalaia restore --from /mnt/backups", "atalaia restore --from s3://backups/atalaia --dry-run")
    program.command("restore", epilog=told)(restore_backup)
