"""The JSON of a script's report, as a store can have it."""

import json


def read_document(text: str) -> object:
    """The document; raises ValueError, and RecursionError for one that is nested too deeply.

    JSON can say half of a surrogate pair (a Python script does, of a file name that is not UTF-8), UTF-8 cannot:
    a question mark stands for it.
    """
    document: object = json.loads(text)
    if "\\ud" in text.lower():
        document = json.loads(json.dumps(document, ensure_ascii=False).encode(errors="replace"))
    return document
