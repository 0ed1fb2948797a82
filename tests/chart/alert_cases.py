"""What raises each alert, and what comes close to it and does not: series as Prometheus would have scraped them.

A minute lies between two samples. Values are promtool's: ``5x10`` is 5 and ten more, ``0+2x10`` grows by 2, ``_`` is
none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PREFIX = "pipeline-pipeline-processing"
WORKER = f'namespace="fleet",pod="{PREFIX}-worker-live-1",lane="live",pool="live"'
SECOND = f'namespace="fleet",pod="{PREFIX}-worker-live-2",lane="live",pool="live"'
MONITOR = f'namespace="fleet",pod="{PREFIX}-monitor-1",lane="live"'
POD = f'namespace="fleet",pod="{PREFIX}-worker-live-7d9"'
LIVE = {"namespace": "fleet", "lane": "live"}
DAY = 86_400


@dataclass(frozen=True)
class Case:
    """``told`` is the alert's summary, with the ``labels`` beside its severity; where it is empty nothing is raised."""

    alert: str
    what: str
    series: dict[str, str]
    at: str
    told: str = ""
    labels: dict[str, str] = field(default_factory=lambda: LIVE)


def dead(values: str) -> dict[str, str]:
    return {f"pipeline_dead_letters{{{MONITOR}}}": values}


def until_dropped(values: str) -> dict[str, str]:
    return {f"pipeline_dead_letter_seconds_to_drop{{{MONITOR}}}": values}


def waits(*buckets: str, bounds: tuple[str, ...] = ("3600.0", "43200.0", "+Inf"), lane: str = "live") -> dict[str, str]:
    """Return a histogram of waits, by the values of its buckets."""
    labels = f'namespace="fleet",pod="{PREFIX}-worker-{lane}-1",lane="{lane}",pool="{lane}"'
    return {
        f'pipeline_message_wait_seconds_bucket{{{labels},le="{bound}"}}': values
        for bound, values in zip(bounds, buckets, strict=True)
    }


def backfill_waits(*buckets: str) -> dict[str, str]:
    """Return a backfill's, by the values of its buckets for three days, seven days and all."""
    return waits(*buckets, bounds=("259200.0", "604800.0", "+Inf"), lane="backfill")


def queued(visible: str, in_flight: str, received: str | None) -> dict[str, str]:
    series = {
        f'pipeline_queue_messages{{{MONITOR},state="visible"}}': visible,
        f'pipeline_queue_messages{{{MONITOR},state="in_flight"}}': in_flight,
    }
    return series | ({f"pipeline_received_total{{{WORKER}}}": received} if received else {})


def receives(failed: str, empty: str) -> dict[str, str]:
    return {
        f'pipeline_receive_total{{{WORKER},result="failed"}}': failed,
        f'pipeline_receive_total{{{SECOND},result="empty"}}': empty,
    }


def items(outcome: str, values: str, **more: str) -> dict[str, str]:
    return {
        f'pipeline_items_total{{{WORKER},processor="copy",outcome="{name}"}}': count
        for name, count in {outcome: values, **more}.items()
    }


def not_ready(**more: str) -> dict[str, str]:
    return {f'kube_pod_status_ready{{{POD},condition="false"}}': "1x40", **more}


def schedule(next_time: str, active: str) -> dict[str, str]:
    labels = f'namespace="fleet",cronjob="{PREFIX}-attachments"'
    return {
        f"kube_cronjob_next_schedule_time{{{labels}}}": next_time,
        f"kube_cronjob_status_active{{{labels}}}": active,
    }


def failed_job(job: str, values: str) -> dict[str, str]:
    return {f'kube_job_failed{{namespace="fleet",job_name="{job}",condition="true"}}': values}


CASES = (
    Case("PipelineDeadLetters", "one stays", dead("0x4 1x20"), "15m", "Lane live has 1 dead letters."),
    Case(
        "PipelineDeadLetters",
        "the monitor's pod changes meanwhile",
        {
            f"pipeline_dead_letters{{{MONITOR}}}": "2x8 stale",
            f'pipeline_dead_letters{{namespace="fleet",pod="{PREFIX}-monitor-2",lane="live"}}': "_x8 2x20",
        },
        "15m",
        "Lane live has 2 dead letters.",
    ),
    Case("PipelineDeadLetters", "one is redriven at once", dead("0x4 1x2 0x20"), "15m"),
    Case(
        "PipelineDeadLettersGrowing",
        "a hundred and twenty within twelve minutes",
        dead("5x20 5+10x12 125x10"),
        "34m",
        "Lane live buried 120 items within a quarter of an hour.",
    ),
    Case("PipelineDeadLettersGrowing", "six a minute", dead("0+6x60"), "50m"),
    Case("PipelineDeadLettersGrowing", "many that are there for long", dead("5000x60"), "50m"),
    Case(
        "PipelineDeadLettersOld",
        "older than a day",
        {f"pipeline_dead_letter_oldest_age_seconds{{{MONITOR}}}": f"{DAY}+60x30"},
        "20m",
        "The oldest dead letter of lane live was sent 1d 0h 20m 0s ago.",
    ),
    Case(
        "PipelineDeadLettersOld",
        "not yet a day old",
        {f"pipeline_dead_letter_oldest_age_seconds{{{MONITOR}}}": f"{DAY - 1800}+60x30"},
        "30m",
    ),
    Case(
        "PipelineDeadLettersExpireSoon",
        "less than three days are left",
        until_dropped(f"{3 * DAY}-60x30"),
        "10m",
        "Lane live drops its first dead letter in 2d 23h 50m 0s.",
    ),
    Case("PipelineDeadLettersExpireSoon", "more than three days are left", until_dropped(f"{3 * DAY + 1}x30"), "10m"),
    Case(
        "PipelineDeadLettersExpireNow",
        "less than a day is left",
        until_dropped(f"{DAY}-60x30"),
        "10m",
        "Lane live drops its first dead letter in 23h 50m 0s.",
    ),
    Case("PipelineDeadLettersExpireNow", "more than a day is left", until_dropped(f"{DAY + 1}x30"), "10m"),
    Case(
        "PipelineDeadLettersUnread",
        "receives are denied",
        {f"pipeline_dead_letters_unread{{{MONITOR}}}": "40x70"},
        "65m",
        "The monitor can not read 40 dead letters of lane live.",
    ),
    Case(
        "PipelineDeadLettersUnread",
        "an operator holds them for half an hour",
        {f"pipeline_dead_letters_unread{{{MONITOR}}}": "0x20 40x30 0x20"},
        "45m",
    ),
    Case(
        "PipelineQueueAgeHigh",
        "a little more than a tenth of the messages waits longer than an hour",
        waits("0+895x40", "0+1000x40", "0+1000x40"),
        "30m",
        "Messages of lane live wait 1h 31m 25s for their first receive.",
    ),
    Case(
        "PipelineQueueAgeHigh",
        "a twentieth of the messages waits longer than an hour",
        waits("0+95x40", "0+100x40", "0+100x40"),
        "30m",
    ),
    Case(
        "PipelineQueueAgeHigh",
        "a healthy backfill, whose messages wait for up to three days",
        backfill_waits("0+100x40", "0+100x40", "0+100x40"),
        "30m",
    ),
    Case(
        "PipelineQueueAgeHigh",
        "a backfill's messages wait for longer than half its queue's retention",
        backfill_waits("0x40", "0+100x40", "0+100x40"),
        "30m",
        "Messages of lane backfill wait 6d 14h 24m 0s for their first receive.",
        {"namespace": "fleet", "lane": "backfill"},
    ),
    Case(
        "PipelineQueueNotWorkedOn",
        "workers that only look on",
        queued("7x40", "0x40", "0+5x10 50x40"),
        "35m",
        "Lane live holds 7 messages, and nobody takes one.",
    ),
    Case(
        "PipelineQueueNotWorkedOn",
        "no worker at all",
        queued("7x40", "0x40", None),
        "25m",
        "Lane live holds 7 messages, and nobody takes one.",
    ),
    Case("PipelineQueueNotWorkedOn", "one message a minute is taken", queued("7x40", "0x40", "0+1x40"), "25m"),
    Case(
        "PipelineQueueNotWorkedOn", "all workers are busy with hour-long items", queued("7x40", "2x40", "50x40"), "25m"
    ),
    Case(
        "PipelineQueueNotWorkedOn", "the queue is empty now and then", queued("7x6 0 7x6 0 7x40", "0x60", None), "30m"
    ),
    Case(
        "PipelineReceivesFail",
        "none reaches the queue",
        receives("0x10 6+6x30", "0+6x10 60x30"),
        "25m",
        "No worker of lane live reaches its queue.",
    ),
    Case("PipelineReceivesFail", "one of two does", receives("0+6x20", "0+6x20"), "15m"),
    Case(
        "PipelineTargetDown",
        "a worker that does not answer",
        {f"up{{{POD}}}": "1x4 0x10"},
        "12m",
        f"Pod {PREFIX}-worker-live-7d9 runs but can not be scraped.",
        {"namespace": "fleet", "pod": f"{PREFIX}-worker-live-7d9"},
    ),
    *(
        Case(
            "PipelineTargetDown",
            f"a pod that is {phase}",
            {f"up{{{POD}}}": "0x20", f'kube_pod_status_phase{{{POD},phase="{phase}"}}': "1x20"},
            "12m",
        )
        for phase in ("Pending", "Succeeded", "Failed")
    ),
    Case(
        "PipelineTargetDown",
        "one that runs, as kube-state-metrics says too",
        {
            f"up{{{POD}}}": "0x20",
            f'kube_pod_status_phase{{{POD},phase="Running"}}': "1x20",
            f'kube_pod_status_phase{{{POD},phase="Failed"}}': "0x20",
        },
        "12m",
        f"Pod {PREFIX}-worker-live-7d9 runs but can not be scraped.",
        {"namespace": "fleet", "pod": f"{PREFIX}-worker-live-7d9"},
    ),
    Case("PipelineTargetDown", "one scrape is missed", {f"up{{{POD}}}": "1x4 0x2 1x10"}, "7m"),
    Case("PipelineTargetDown", "another program's pod", {'up{namespace="fleet",pod="other-1"}': "0x20"}, "12m"),
    Case(
        "PipelinePodNotReady",
        "a quarter of an hour",
        not_ready(),
        "20m",
        f"Pod {PREFIX}-worker-live-7d9 is not ready.",
        {"namespace": "fleet", "pod": f"{PREFIX}-worker-live-7d9"},
    ),
    Case(
        "PipelinePodNotReady",
        "it drains",
        not_ready(**{f"kube_pod_deletion_timestamp{{{POD}}}": "1700000000x40"}),
        "20m",
    ),
    Case(
        "PipelinePodNotReady",
        "a job's pod that is done",
        not_ready(**{f'kube_pod_status_phase{{{POD},phase="Succeeded"}}': "1x40"}),
        "20m",
    ),
    Case(
        "PipelinePodNotReady",
        "it starts slowly",
        {f'kube_pod_status_ready{{{POD},condition="false"}}': "1x9 0x20"},
        "9m",
    ),
    Case(
        "PipelineContainerRestarts",
        "a crash loop",
        {f'kube_pod_container_status_restarts_total{{{POD},container="worker"}}': "0 1 2 3x30"},
        "30m",
        f"Pod {PREFIX}-worker-live-7d9 was started anew 3 times within half an hour.",
        {"namespace": "fleet", "pod": f"{PREFIX}-worker-live-7d9"},
    ),
    Case(
        "PipelineContainerRestarts",
        "one restart",
        {f'kube_pod_container_status_restarts_total{{{POD},container="worker"}}': "0x5 1x30"},
        "30m",
    ),
    Case(
        "PipelineLeasesLost",
        "one a minute",
        {f"pipeline_lease_lost_total{{{WORKER}}}": "0+0.6x40"},
        "30m",
        "Workers of lane live lost 9 leases within a quarter of an hour.",
    ),
    Case(
        "PipelineLeasesLost",
        "one in a hundred and twenty of a large fleet's",
        {f"pipeline_lease_lost_total{{{WORKER}}}": "0+5x40", f"pipeline_received_total{{{WORKER}}}": "0+600x40"},
        "30m",
    ),
    Case(
        "PipelineLeasesLost",
        "one in fifty",
        {f"pipeline_lease_lost_total{{{WORKER}}}": "0+1x40", f"pipeline_received_total{{{WORKER}}}": "0+50x40"},
        "30m",
        "Workers of lane live lost 15 leases within a quarter of an hour.",
    ),
    Case("PipelineLeasesLost", "a few, once", {f"pipeline_lease_lost_total{{{WORKER}}}": "0x10 4x30"}, "20m"),
    Case(
        "PipelineOutcomesUnrecorded",
        "the control bucket fails, and workers slow down",
        items("unrecorded", "0x5 3x2 6x2 9x2 12x2 15x2 18x2 21x2 24x2"),
        "19m",
        "Workers of lane live can not record 100% of what becomes of items.",
    ),
    Case(
        "PipelineOutcomesUnrecorded",
        "only markers can not be written",
        items("unrecorded", "0+3x30", alreadydone="0+1x30"),
        "25m",
        "Workers of lane live can not record 75% of what becomes of items.",
    ),
    *(
        Case("PipelineOutcomesUnrecorded", f"one blip, {later} minutes later", items("unrecorded", "0x10 1x60"), at)
        for later, at in ((5, "16m"), (10, "21m"), (15, "26m"))
    ),
    Case("PipelineOutcomesUnrecorded", "a burst of a minute", items("unrecorded", "0x10 50x60"), "21m"),
    Case(
        "PipelineOutcomesUnrecorded",
        "a few of a thousand all the time",
        items("unrecorded", "0+5x60", succeeded="0+995x60"),
        "50m",
    ),
    Case("PipelineOutcomesUnrecorded", "attempts that failed, and are recorded", items("failed", "0+5x40"), "30m"),
    Case(
        "PipelineAttemptsFail",
        "six of ten",
        items("failed", "0+1.2x40", succeeded="0+0.8x40"),
        "30m",
        "60% of the attempts of copy fail in lane live.",
        {**LIVE, "processor": "copy"},
    ),
    Case(
        "PipelineAttemptsFail",
        "nine of ten, among deliveries that were none",
        items("failed", "0+9x40", succeeded="0+1x40", interrupted="0+30x40", alreadydone="0+30x40"),
        "30m",
        "90% of the attempts of copy fail in lane live.",
        {**LIVE, "processor": "copy"},
    ),
    Case("PipelineAttemptsFail", "four of ten", items("failed", "0+4x40", succeeded="0+6x40"), "30m"),
    Case("PipelineAttemptsFail", "all of a few", items("failed", "0x20 15x20", succeeded="0x40"), "33m"),
    Case(
        "PipelineMonitorStale",
        "the queue has not answered for a quarter of an hour",
        {f"pipeline_monitor_refreshed_timestamp_seconds{{{MONITOR}}}": "0+60x10 600x20"},
        "26m",
        "The numbers of lane live are 16m 0s old (decades: never read).",
    ),
    Case(
        "PipelineMonitorStale",
        "each look succeeds",
        {f"pipeline_monitor_refreshed_timestamp_seconds{{{MONITOR}}}": "0+60x40"},
        "26m",
    ),
    Case(
        "PipelineMonitorAbsent",
        "none is scraped",
        {f"up{{{POD}}}": "1x40"},
        "20m",
        f"No monitor of fleet/{PREFIX} is scraped.",
        {"namespace": "fleet"},
    ),
    Case(
        "PipelineMonitorAbsent",
        "it never read its lane, but is there",
        {f"pipeline_monitor_refreshed_timestamp_seconds{{{MONITOR}}}": "0x40"},
        "20m",
    ),
    Case(
        "PipelineControllerJobFailed",
        "a schedule's",
        failed_job(f"{PREFIX}-attachments-29123", "0x5 1x20"),
        "10m",
        f"Job {PREFIX}-attachments-29123 failed for good.",
        {"namespace": "fleet", "job_name": f"{PREFIX}-attachments-29123"},
    ),
    Case(
        "PipelineControllerJobFailed", "it is being retried", failed_job(f"{PREFIX}-attachments-29123", "0x20"), "10m"
    ),
    Case(
        "PipelineControllerJobFailed",
        "a worker's, whose item comes back",
        failed_job(f"{PREFIX}-worker-big-1", "1x20"),
        "10m",
    ),
    Case("PipelineDeadLetters", "there for four minutes", dead("0x4 1x20"), "9m"),
    Case("PipelineDeadLettersGrowing", "a burst that is taken back at once", dead("0x20 120 0x20"), "21m"),
    Case(
        "PipelineDeadLettersOld",
        "a day old for ten minutes",
        {f"pipeline_dead_letter_oldest_age_seconds{{{MONITOR}}}": f"{DAY - 1800}+60x60"},
        "41m",
    ),
    Case("PipelineDeadLettersExpireSoon", "for four minutes", until_dropped(f"{3 * DAY}-60x30"), "5m"),
    Case("PipelineDeadLettersExpireNow", "for four minutes", until_dropped(f"{DAY}-60x30"), "5m"),
    Case("PipelineQueueAgeHigh", "for five minutes", waits("0+100x20 2000x20", "0+100x40", "0+100x40"), "27m"),
    Case("PipelineReceivesFail", "for two minutes", receives("0x10 6+6x20", "0+6x10 60x20"), "18m"),
    Case("PipelineLeasesLost", "for two minutes", {f"pipeline_lease_lost_total{{{WORKER}}}": "0+1x40"}, "9m"),
    Case("PipelineOutcomesUnrecorded", "for nine minutes", items("unrecorded", "0x5 3+3x20"), "15m"),
    Case("PipelineAttemptsFail", "for four minutes", items("failed", "0x20 6+6x20", succeeded="0+4x20 80x20"), "30m"),
    Case(
        "PipelineMonitorStale",
        "for three minutes",
        {f"pipeline_monitor_refreshed_timestamp_seconds{{{MONITOR}}}": "0+60x10 600x20"},
        "24m",
    ),
    Case("PipelineMonitorAbsent", "for ten minutes", {f"up{{{POD}}}": "1x40"}, "10m"),
    Case("PipelineControllerJobFailed", "a moment ago", failed_job(f"{PREFIX}-attachments-29123", "0x5 1x20"), "6m"),
    Case(
        "PipelineContainerRestarts",
        "a moment ago",
        {f'kube_pod_container_status_restarts_total{{{POD},container="worker"}}': "0 1 2 3x30"},
        "3m",
    ),
    Case("PipelineAttemptsFail", "until an hour ago", items("failed", "0+6x40 240x40", succeeded="0x40 0+4x40"), "75m"),
    Case(
        "PipelineContainerRestarts",
        "one an hour",
        {f'kube_pod_container_status_restarts_total{{{POD},container="worker"}}': "0x60 1x60 2x60 3x60"},
        "200m",
    ),
    Case(
        "PipelineQueueAgeHigh",
        "until half an hour ago",
        waits("0+800x30 25000+1000x30", "0+1000x61", "0+1000x61"),
        "58m",
    ),
    Case(
        "PipelineScheduleMissed",
        "two hours after its time nothing was started",
        schedule("3600x240", "0x240"),
        "195m",
        f"Schedule {PREFIX}-attachments should have started a run 2h 15m 0s ago.",
        {"namespace": "fleet", "cronjob": f"{PREFIX}-attachments"},
    ),
    Case(
        "PipelineScheduleMissed",
        "it started, and the next time is tomorrow",
        schedule("3600x59 90000x200", "0x240"),
        "195m",
    ),
    Case(
        "PipelineScheduleMissed",
        "two hours and five minutes",
        schedule("3600x240", "0x240"),
        "185m",
    ),
    Case(
        "PipelineScheduleMissed",
        "the job before it is at work for four hours, and the next one starts when it ends",
        schedule("3600x290 18000x50", "1x340"),
        "285m",
    ),
    Case(
        "PipelineScheduleMissed",
        "the job before it has ended, and none has started for a quarter of an hour",
        schedule("3600x340", "1x240 0x100"),
        "255m",
        f"Schedule {PREFIX}-attachments should have started a run 3h 15m 0s ago.",
        {"namespace": "fleet", "cronjob": f"{PREFIX}-attachments"},
    ),
    Case(
        "PipelineScheduleMissed",
        "the job before it ended a moment ago",
        schedule("3600x340", "1x240 0x100"),
        "245m",
    ),
    Case(
        "PipelineKubeStateMetricsAbsent",
        "it is not scraped",
        {f"up{{{POD}}}": "1x40"},
        "20m",
        "kube-state-metrics tells nothing of fleet.",
        {"namespace": "fleet"},
    ),
    Case("PipelineKubeStateMetricsAbsent", "for ten minutes", {f"up{{{POD}}}": "1x40"}, "10m"),
    Case(
        "PipelineKubeStateMetricsAbsent",
        "it is there, and every worker is scaled away",
        {f'kube_pod_status_ready{{namespace="fleet",pod="{PREFIX}-monitor-1",condition="true"}}': "1x40"},
        "20m",
    ),
)
