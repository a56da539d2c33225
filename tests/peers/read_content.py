"""Reads content of a backup, or what we exported, without any of the program's code.

    read_content.py bodies SMS.DB        a JSON object for each archived body: guid, text or error
    read_content.py cards CONTACTS.VCF   a JSON object for each card

Uses pytypedstream and vobject. Runs in the virtual environment of the judges of content.
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


{"bodies": bodies, "cards": cards}[sys.argv[1]](sys.argv[2])
