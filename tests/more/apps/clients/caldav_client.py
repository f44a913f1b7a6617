"""caldav at a CalDAV server: ``caldav_client.py URL [USER PASSWORD]``. Prints what it saw as JSON.

What it finds in its environment (``HTTP_PROXY``) it uses, as any client does.
"""

import json
import sys
from datetime import UTC, datetime
from typing import Any

import caldav
from caldav.elements import dav
from caldav.lib.error import NotFoundError

_EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//A//B//EN
BEGIN:VEVENT
UID:{uid}
DTSTAMP:20260101T000000Z
DTSTART:202603{day:02}T100000Z
DTEND:202603{day:02}T110000Z
SUMMARY:{summary}
END:VEVENT
END:VCALENDAR
"""


def _in_march(calendar: Any, first: int, last: int) -> list[str]:
    start, end = (datetime(2026, 3, day, tzinfo=UTC) for day in (first, last))
    found = calendar.search(start=start, end=end, event=True)
    return sorted(str(event.icalendar_component["summary"]) for event in found)


def _drive(client: Any) -> dict[str, Any]:
    saw: dict[str, Any] = {}
    principal = client.principal()
    saw["principal"] = principal.url.path
    calendar = principal.make_calendar(name="Pläne & more", cal_id="plans")
    saw["calendar"] = calendar.url.path
    for day, summary in ((3, "Dentist"), (14, "Käsefondue <3"), (25, "A" * 5000)):
        calendar.save_event(_EVENT.format(uid=f"event {day}/x", day=day, summary=summary))
    saw["early"] = _in_march(calendar, 1, 20)
    event = calendar.event_by_uid("event 3/x")
    event.icalendar_component["summary"] = "Dentist, later"
    event.save()
    saw["changed"] = _in_march(calendar, 1, 5)
    changes = calendar.objects_by_sync_token()
    event.delete()
    saw["after a deletion"] = [len(list(changes)), len(list(calendar.events()))]
    try:
        calendar.event_by_uid("event 3/x")
    except NotFoundError:
        saw["deleted"] = True
    calendar.set_properties([dav.DisplayName("Renamed")])
    saw["names"] = sorted(str(each.get_display_name()) for each in principal.calendars())
    calendar.delete()
    saw["left"] = len(principal.calendars())
    return saw


def main() -> None:
    url, user, password = (*sys.argv[1:], None, None)[:3]
    options = {"auth_type": "basic"} if user else {}
    client = caldav.DAVClient(url, username=user, password=password, **options)
    active_requests: list[list[Any]] = []
    client.session.hooks["response"].append(
        lambda got, **_: active_requests.append([got.request.method, got.status_code])
    )
    print(json.dumps({"saw": _drive(client), "exchanges": active_requests}))


if __name__ == "__main__":
    main()
