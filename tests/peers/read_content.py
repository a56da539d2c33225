"""Reads content of a backup, or what we exported, without any of the program's code.

    read_content.py bodies SMS.DB        a JSON object for each archived body: guid, text or error
    read_content.py cards CONTACTS.VCF   a JSON object for each card
    read_content.py events CALENDAR.ICS  a JSON object for each event or reminder
    read_content.py todos REMINDERS.ICS  a JSON object for each reminder, by vobject

Uses pytypedstream, vobject and icalendar. Runs in the virtual environment of the judges of content.
"""

import json
import sqlite3
import sys
from pathlib import Path


def bodies(path):
    import typedstream

    database = sqlite3.connect(f"{Path(path).resolve().as_uri()}?immutable=1", uri=True)
    for guid, body in database.execute("SELECT guid, attributedBody FROM message WHERE attributedBody IS NOT NULL"):
        try:
            string = typedstream.unarchive_from_data(body).contents[0].value
            print(json.dumps({"guid": guid, "text": string.value}))
        except Exception as error:  # Any error means that the judge cannot decode the body.
            print(json.dumps({"guid": guid, "error": str(error)}))


def cards(path):
    import vobject

    with open(path, newline="", encoding="utf-8") as file:
        text = file.read()
    for card in vobject.readComponents(text):
        values = {name: [line.value for line in lines] for name, lines in card.contents.items()}
        name = card.n.value
        print(json.dumps({
            "name": card.fn.value, "first": name.given, "last": name.family, "version": card.version.value,
            "numbers": values.get("tel", []), "mails": values.get("email", []), "note": values.get("note", [None])[0],
            "organization": values.get("org", [[None]])[0][0], "birthday": values.get("bday", [None])[0],
            "has_picture": "photo" in values,
        }))  # fmt: skip


def shown(value):
    """Returns a date or a time as our records have it."""
    from datetime import datetime, timezone

    if value is None:
        return None
    value = getattr(value, "dt", value)
    if not isinstance(value, datetime):
        return value.isoformat()
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def several(value):
    return [] if value is None else value if isinstance(value, list) else [value]


def events(path):
    import icalendar

    calendar = icalendar.Calendar.from_ical(Path(path).read_bytes())
    for one in calendar.walk():
        if one.name not in ("VEVENT", "VTODO"):
            continue
        text = lambda name: str(one[name]) if name in one else None
        # Several categories would be several values, so they are joined again.
        categories = [str(category) for group in several(one.get("CATEGORIES")) for category in group.cats]
        alarms = [alarm["TRIGGER"] for alarm in one.walk("VALARM")]
        print(json.dumps({
            "uid": text("UID"), "title": text("SUMMARY"), "notes": text("DESCRIPTION"), "location": text("LOCATION"),
            "start": shown(one.get("DTSTART")), "end": shown(one.get("DTEND")), "due": shown(one.get("DUE")),
            "zone": one["DTSTART"].params.get("TZID") if "DTSTART" in one else None,
            "status": text("STATUS"), "url": text("URL"), "calendar": ",".join(categories), "priority": text("PRIORITY"),
            "rules": [rule.to_ical().decode() for rule in several(one.get("RRULE"))],
            "exceptions": [shown(day.dt) for group in several(one.get("EXDATE")) for day in group.dts],
            "replaces": shown(one.get("RECURRENCE-ID")), "completed": shown(one.get("COMPLETED")),
            "created": shown(one.get("CREATED")), "modified": shown(one.get("LAST-MODIFIED")),
            "organizer": text("ORGANIZER"), "attendees": [str(guest) for guest in several(one.get("ATTENDEE"))],
            "names": [guest.params.get("CN") for guest in several(one.get("ATTENDEE"))],
            "alarms": [int(alarm.dt.total_seconds()) for alarm in alarms],
        }))  # fmt: skip


def todos(path):
    import vobject

    with open(path, newline="", encoding="utf-8") as file:
        calendar = vobject.readOne(file.read())
    for todo in calendar.contents.get("vtodo", []):
        print(json.dumps({"uid": todo.uid.value, "title": todo.summary.value, "status": todo.status.value}))


{"bodies": bodies, "cards": cards, "events": events, "todos": todos}[sys.argv[1]](sys.argv[2])
