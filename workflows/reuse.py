"""What jobs took over from others instead of computing it again."""

from __future__ import annotations

from fireworks import LaunchPad


def n_reused(launchpad: LaunchPad, campaign: str | None = None) -> int:
    """Count the finished jobs whose result another job had computed.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    campaign : str, optional
        Only those of this campaign.

    Returns
    -------
    int
        Jobs.
    """
    launches = launchpad.launches.distinct("fw_id", {"action.stored_data.reused_from": {"$exists": True}})
    only = {"spec.campaign": campaign} if campaign else {}
    return int(launchpad.fireworks.count_documents({"fw_id": {"$in": launches}, "state": "COMPLETED"} | only))
