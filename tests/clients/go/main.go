// The published client, as its documentation shows it: prints each row as a line and acknowledges.
// Arguments: port, count of rows to wait for.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/golang/protobuf/proto"
	"github.com/withlin/canal-go/client"
	pb "github.com/withlin/canal-go/protocol/entry"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	port, err := strconv.Atoi(os.Args[1])
	check(err)
	wanted, err := strconv.Atoi(os.Args[2])
	check(err)
	connector := client.NewSimpleCanalConnector("127.0.0.1", port, "", "", "example", 60000, 60*60*1000)
	check(connector.Connect())
	check(connector.Subscribe(`w\..*`))
	seen, deadline := 0, time.Now().Add(time.Minute)
	for seen < wanted && time.Now().Before(deadline) {
		message, err := connector.GetWithOutAck(100, nil, nil)
		check(err)
		if message.Id == -1 || len(message.Entries) == 0 {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for _, entry := range message.Entries {
			if entry.GetEntryType() != pb.EntryType_ROWDATA {
				continue
			}
			change := new(pb.RowChange)
			check(proto.Unmarshal(entry.GetStoreValue(), change))
			for _, row := range change.GetRowDatas() {
				columns := row.GetAfterColumns()
				if change.GetEventType() == pb.EventType_DELETE {
					columns = row.GetBeforeColumns()
				}
				line := change.GetEventType().String()
				for _, column := range columns {
					line += " " + column.GetName() + "=" + column.GetValue()
				}
				fmt.Println(line)
				seen++
			}
		}
		check(connector.Ack(message.Id))
	}
	check(connector.DisConnection())
	if seen < wanted {
		fmt.Fprintf(os.Stderr, "only %d of %d rows came\n", seen, wanted)
		os.Exit(1)
	}
}
