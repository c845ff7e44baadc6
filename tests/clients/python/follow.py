"""The published client, as its documentation shows it: prints each row as a line and acknowledges.

Arguments: port, count of rows to wait for.
"""
import sys
import time

from canal.client import Client
from canal.protocol import EntryProtocol_pb2

port, wanted = int(sys.argv[1]), int(sys.argv[2])
client = Client()
client.connect(host="127.0.0.1", port=port)
client.check_valid(username=b"", password=b"")
client.subscribe(client_id=b"1001", destination=b"example", filter=b"w\\..*")
seen, deadline = 0, time.time() + 60
while seen < wanted and time.time() < deadline:
    message = client.get(100)
    entries = message["entries"]
    for entry in entries:
        if entry.entryType in (EntryProtocol_pb2.EntryType.TRANSACTIONBEGIN, EntryProtocol_pb2.EntryType.TRANSACTIONEND):
            continue
        change = EntryProtocol_pb2.RowChange()
        change.MergeFromString(entry.storeValue)
        for row in change.rowDatas:
            kind = EntryProtocol_pb2.EventType.Name(change.eventType)
            columns = row.beforeColumns if kind == "DELETE" else row.afterColumns
            print(kind, *(f"{column.name}={column.value}" for column in columns))
            seen += 1
    if not entries:
        time.sleep(0.05)
client.disconnect()
if seen < wanted:
    sys.exit(f"only {seen} of {wanted} rows came")
