"""Follows a destination with the published client canal-python and prints what happens, one line each:

    row BATCH KIND SCHEMA.TABLE (before) (after)
    ack BATCH | rollback BATCH | rollback all | reconnect | done

It ends when it has acknowledged a row of a table named `done`. Arguments: host, port, destination, mode.
Modes: plain; rollback (one batch, later all of two batches); reconnect (with two batches not acknowledged).
"""

import sys
import time

from canal.client import Client
from canal.protocol import EntryProtocol_pb2

BATCH_SIZE = 50


def connect(host, port, destination):
    client = Client()
    client.connect(host=host, port=port)
    client.check_valid(username=b"", password=b"")
    client.subscribe(client_id=b"1001", destination=destination.encode(), filter=b".*\\..*")
    return client


def next_batch(client):
    """The next batch that is not empty."""
    while True:
        message = client.get_without_ack(BATCH_SIZE, 1000, 2)
        if message["entries"]:
            return message


def ack(client, message):
    client.ack(message["id"])
    print("ack", message["id"])


def text(columns):
    values = (f"{c.name}={'NULL' if c.isNull else c.value}" for c in columns)
    return "(" + ",".join(values) + ")"


def show(message):
    """Prints the rows; true when one of them is of a table named `done`."""
    done = False
    for entry in message["entries"]:
        if entry.entryType != EntryProtocol_pb2.EntryType.ROWDATA:
            continue
        change = EntryProtocol_pb2.RowChange()
        change.MergeFromString(entry.storeValue)
        kind = EntryProtocol_pb2.EventType.Name(change.eventType)
        table = f"{entry.header.schemaName}.{entry.header.tableName}"
        for row in change.rowDatas:
            print("row", message["id"], kind, table, text(row.beforeColumns), text(row.afterColumns))
            done |= entry.header.tableName == "done"
    return done


def roll_back(client):
    first = next_batch(client)
    show(first)
    client.rollback(first["id"])
    print("rollback", first["id"])

    second = next_batch(client)
    show(second)
    ack(client, second)

    show(next_batch(client))
    show(next_batch(client))
    client.rollback(0)
    print("rollback all")


def main():
    host, port, destination, mode = sys.argv[1:]
    client = connect(host, int(port), destination)
    if mode == "rollback":
        roll_back(client)
    elif mode == "reconnect":
        first = next_batch(client)
        show(first)
        ack(client, first)
        show(next_batch(client))
        show(next_batch(client))
        client.disconnect()
        print("reconnect")
        client = connect(host, int(port), destination)
    elif mode != "plain":
        sys.exit(f"mode {mode}")
    done = False
    while not done:
        # As the client's README does it: get acknowledges by itself.
        message = client.get(BATCH_SIZE)
        if not message["entries"]:
            time.sleep(0.02)
            continue
        done = show(message)
        print("ack", message["id"])
    client.disconnect()
    print("done")


main()
