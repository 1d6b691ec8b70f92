"""Every problem that Atalaia can report, by its code: the kind and one line for people.

`docs/reference/problems.md` is made from this table, and a check holds the code of every raised error against it.
"""

from atalaia.core.errors import Kind

PROBLEMS: dict[str, tuple[Kind, str]] = {
    # asked for something that is not there
    "not_found": (Kind.MISSING, "No such path."),
    "unknown_series": (Kind.MISSING, "No point of this series was ever received."),
    "unknown_fleet": (Kind.MISSING, "No fleet has this id."),
    "unknown_anomaly": (Kind.MISSING, "No anomaly has this id."),
    "unknown_job": (Kind.MISSING, "No job has this id."),
    "unknown_model": (Kind.MISSING, "Nothing was ever trained for this series or fleet."),
    "unknown_wave": (Kind.MISSING, "No wave of trainings has this id."),
    "unknown_version": (Kind.MISSING, "The model has no such version."),
    "no_deployment": (Kind.MISSING, "The model has no version in Production."),
    "unknown_blob": (Kind.MISSING, "A stored object is gone from the blob store."),
    # in the way of each other
    "not_in_staging": (Kind.CONFLICT, "Only a version in Staging can be promoted."),
    "nothing_staged": (Kind.CONFLICT, "The model has no version in Staging."),
    "nothing_to_challenge": (Kind.CONFLICT, "A challenger needs a version in Production beside it."),
    "wave_not_done": (Kind.CONFLICT, "Some trainings of the wave have not ended well."),
    "model_serves": (Kind.CONFLICT, "A model in Production cannot be unloaded."),
    "job_cancelled": (Kind.CONFLICT, "The job was cancelled."),
    "port_in_use": (Kind.CONFLICT, "Another program listens on this address and port."),
    "job_finished": (Kind.CONFLICT, "The job has already ended; there is nothing to cancel."),
    # input that cannot be accepted
    "invalid_request": (Kind.INVALID, "The request does not have the documented form."),
    "invalid_json": (Kind.INVALID, "The body is not JSON."),
    "invalid_id": (Kind.INVALID, "Not usable as the id of a series or fleet."),
    "invalid_version": (Kind.INVALID, "Not a version; versions are written v1, v2, ..."),
    "invalid_points": (Kind.INVALID, "Some points cannot be accepted; none was kept."),
    "invalid_time": (Kind.INVALID, "Not a usable point in time, or a range that ends before it begins."),
    "invalid_training_data": (Kind.INVALID, "The training data do not pass the checks."),
    "unknown_algorithm": (Kind.INVALID, "No algorithm has this name."),
    "invalid_hyperparameters": (Kind.INVALID, "The algorithm does not take these hyperparameters."),
    "invalid_settings": (Kind.INVALID, "Some settings are wrong; nothing was started."),
    "invalid_file": (Kind.INVALID, "The file cannot be read as points."),
    "bad_cursor": (Kind.INVALID, "The cursor was not made by this list."),
    "invalid_pair": (Kind.INVALID, "Not written as name=value."),
    "invalid_batch": (Kind.INVALID, "The columns of a batch do not fit together."),
    "invalid_url": (Kind.INVALID, "Not the address of a service."),
    "unknown_zone": (Kind.INVALID, "No time zone has this name."),
    "naive_time": (Kind.INVALID, "A time without a zone."),
    "unsendable": (Kind.INVALID, "The value cannot be sent as JSON."),
    "body_too_large": (Kind.INVALID, "The body is larger than the service accepts (HTTP 413)."),
    "slow_body": (Kind.INVALID, "The body stopped half-way for too long (HTTP 408)."),
    "unsupported_media_type": (Kind.INVALID, "The Content-Type is none that this door reads (HTTP 415)."),
    "unsupported_encoding": (Kind.INVALID, "The Content-Encoding is none that the service undoes (HTTP 415)."),
    "bad_encoding": (Kind.INVALID, "The body cannot be decompressed (HTTP 400)."),
    "bad_protobuf": (Kind.INVALID, "The body is not a remote-write request (HTTP 400)."),
    "bad_arrow": (Kind.INVALID, "The body is not an Arrow IPC stream of points (HTTP 400)."),
    "bad_tensor": (Kind.INVALID, "A tensor's datatype, shape and data do not fit together (HTTP 400)."),
    "too_many_series": (Kind.INVALID, "One request may name a limited number of series (HTTP 413)."),
    "too_many_points": (Kind.INVALID, "One request may bring a limited number of points (HTTP 413)."),
    "labels_too_large": (Kind.INVALID, "The labels of a series, or of a request, are too many or too long."),
    "method_not_allowed": (Kind.INVALID, "The path exists, the method does not (HTTP 405)."),
    "idempotency_mismatch": (Kind.INVALID, "The Idempotency-Key was used before with another body."),
    "too_many_new_series": (Kind.INVALID, "One request may bring a limited number of new series."),
    "fleet_too_large": (Kind.INVALID, "A fleet holds a few thousand series at most."),
    # not allowed
    "not_loopback": (Kind.DENIED, "Without authentication the service listens on loopback only."),
    # too soon
    "too_much_in_flight": (Kind.BUSY, "More bytes are being worked on than the service allows at a time."),
    "too_many_points_waiting": (Kind.BUSY, "More points wait to be kept than memory is set aside for."),
    "trained_recently": (Kind.BUSY, "One training per series or fleet every five minutes."),
    # something is down
    "database_busy": (Kind.UNAVAILABLE, "The database is locked by another writer."),
    "database_unavailable": (Kind.UNAVAILABLE, "The database cannot be reached or read."),
    "disk_full": (Kind.UNAVAILABLE, "No space is left; nothing was kept."),
    "model_not_loaded": (Kind.UNAVAILABLE, "The model in Production can be loaded from nowhere."),
    "registry_unavailable": (Kind.UNAVAILABLE, "The model registry (MLflow) cannot be reached or read."),
    "not_ready": (Kind.UNAVAILABLE, "The service is still starting."),
    "not_scored": (Kind.UNAVAILABLE, "The points were not scored in the time that was given."),
    "bad_gateway": (Kind.UNAVAILABLE, "A proxy answered instead of the service."),
    "job_not_done": (Kind.UNAVAILABLE, "The job has not ended within the time that the caller gave it."),
    "unreachable": (Kind.UNAVAILABLE, "No service answers at this address."),
    # changed underneath
    "lease_lost": (Kind.STALE, "Another worker took the job over."),
    # our own fault
    "internal_error": (Kind.BROKEN, "Something broke inside; the log has the details under the request id."),
    "bad_artifact": (Kind.BROKEN, "A model artefact is damaged, or is not what was recorded."),
    "bad_blob": (Kind.BROKEN, "A stored object is damaged: its checksum differs."),
    "bad_answer": (Kind.BROKEN, "The service answered something that is not an answer."),
    "no_version": (Kind.BROKEN, "A training ended well without naming a version."),
    "worker_lost": (Kind.BROKEN, "The worker died on this job more often than it may be retried."),
}
