"""The demo from start to end, told to a service that is there."""

from atalaia.app.demo import report, steps
from atalaia.app.demo.histories import SAMPLES, load
from atalaia.app.demo.replay import left_to_replay
from atalaia.connectors.atalaia import Client


def tell(client: Client, speed: float | None) -> None:
    """Go through the steps; what an earlier run did is found and left as it is."""
    histories = [load(sample) for sample in SAMPLES]
    total = sum(len(history.timestamps) for history in histories)
    report.say(f"Sample data: {total:,} points of {len(histories)} series (servers of NAB, bearings of NASA IMS).")

    last_us = steps.last_times(client)
    sent = steps.import_first_parts(client, histories, last_us)
    report.say(f"Imported the first part of each series: {sent:,} points{'' if sent else ' (all were there)'}.")

    with report.bar("training", len(histories)) as advance:
        trained = steps.train_and_promote(client, histories, advance)
    report.say(f"Trained and promoted: {trained} models{'' if trained else ' (all were in Production)'}.")

    left = left_to_replay(histories, last_us)
    with report.bar("replaying", len(left)) as advance:
        steps.replay(client, left, speed, advance)
    steps.wait_until_scored(client)
    report.say(f"Replayed the rest: {len(left):,} points{'' if len(left) else ' (all were there)'}.")

    found = steps.anomalies(client)
    report.say(f"Found {len(found)} anomalies:")
    report.show(found)
