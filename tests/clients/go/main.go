// Follows a destination with the published client canal-go and prints what happens, one line each:
//
//	row BATCH KIND SCHEMA.TABLE (before) (after)
//	ack BATCH | rollback BATCH | rollback all | reconnect | done
//
// It ends when it has acknowledged a row of a table named `done`. Arguments: host, port, destination,
// mode. Modes: plain; rollback (one batch, later all of two batches); reconnect (with two batches not
// acknowledged).
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/withlin/canal-go/client"
	"github.com/withlin/canal-go/protocol"
	pbe "github.com/withlin/canal-go/protocol/entry"
	"google.golang.org/protobuf/proto"
)

const batchSize = 50

type follower struct {
	host        string
	port        int
	destination string
	connector   *client.SimpleCanalConnector
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("arguments: host port destination mode")
	}
	port, err := strconv.Atoi(os.Args[2])
	check(err)
	f := &follower{host: os.Args[1], port: port, destination: os.Args[3]}
	f.connect()
	switch os.Args[4] {
	case "plain":
	case "rollback":
		f.rollBack()
	case "reconnect":
		f.reconnect()
	default:
		log.Fatal("mode ", os.Args[4])
	}
	for done := false; !done; {
		// As the client's README does it: Get acknowledges by itself.
		message, err := f.connector.Get(batchSize, nil, nil)
		check(err)
		if message.Id == -1 || len(message.Entries) == 0 {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		done = show(message)
		fmt.Println("ack", message.Id)
	}
	check(f.connector.DisConnection())
	fmt.Println("done")
}

func (f *follower) connect() {
	f.connector = client.NewSimpleCanalConnector(f.host, f.port, "", "", f.destination, 60000, 60*60*1000)
	check(f.connector.Connect())
	check(f.connector.Subscribe(".*\\..*"))
}

func (f *follower) rollBack() {
	first := f.next()
	show(first)
	check(f.connector.RollBack(first.Id))
	fmt.Println("rollback", first.Id)

	second := f.next()
	show(second)
	f.ack(second)

	show(f.next())
	show(f.next())
	check(f.connector.RollBack(0))
	fmt.Println("rollback all")
}

func (f *follower) reconnect() {
	first := f.next()
	show(first)
	f.ack(first)
	show(f.next())
	show(f.next())
	check(f.connector.DisConnection())
	fmt.Println("reconnect")
	f.connect()
}

// The next batch that is not empty.
func (f *follower) next() *protocol.Message {
	timeout, unit := int64(1000), int32(2)
	for {
		message, err := f.connector.GetWithOutAck(batchSize, &timeout, &unit)
		check(err)
		if message.Id != -1 && len(message.Entries) > 0 {
			return message
		}
	}
}

func (f *follower) ack(message *protocol.Message) {
	check(f.connector.Ack(message.Id))
	fmt.Println("ack", message.Id)
}

// Prints the rows; true when one of them is of a table named `done`.
func show(message *protocol.Message) bool {
	done := false
	for i := range message.Entries {
		entry := &message.Entries[i]
		if entry.GetEntryType() != pbe.EntryType_ROWDATA {
			continue
		}
		change := new(pbe.RowChange)
		check(proto.Unmarshal(entry.GetStoreValue(), change))
		header := entry.GetHeader()
		for _, row := range change.GetRowDatas() {
			fmt.Printf("row %d %s %s.%s %s %s\n", message.Id, change.GetEventType(),
				header.GetSchemaName(), header.GetTableName(),
				text(row.GetBeforeColumns()), text(row.GetAfterColumns()))
			done = done || header.GetTableName() == "done"
		}
	}
	return done
}

func text(columns []*pbe.Column) string {
	parts := make([]string, 0, len(columns))
	for _, column := range columns {
		value := column.GetValue()
		if column.GetIsNull() {
			value = "NULL"
		}
		parts = append(parts, column.GetName()+"="+value)
	}
	return "(" + strings.Join(parts, ",") + ")"
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
