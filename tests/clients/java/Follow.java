import com.alibaba.otter.canal.client.CanalConnector;
import com.alibaba.otter.canal.client.CanalConnectors;
import com.alibaba.otter.canal.protocol.CanalEntry;
import com.alibaba.otter.canal.protocol.Message;
import java.net.InetSocketAddress;

/**
 * The published client, as its documentation shows it: prints each row of table `numbered` as a line and acknowledges.
 * Arguments: port, count of rows to wait for, mode. Mode `rollback` rolls the second batch back once; mode `reconnect` takes
 * a batch, drops the connection without an ack, and goes on with a new one.
 */
public class Follow {
    static CanalConnector connect(int port) {
        CanalConnector connector =
                CanalConnectors.newSingleConnector(new InetSocketAddress("127.0.0.1", port), "example", "", "");
        connector.connect();
        connector.subscribe("w\\..*");
        connector.rollback();
        return connector;
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        int wanted = Integer.parseInt(arguments[1]);
        String mode = arguments[2];
        CanalConnector connector = connect(port);
        int seen = 0;
        int batches = 0;
        long deadline = System.currentTimeMillis() + 60000;
        while (seen < wanted && System.currentTimeMillis() < deadline) {
            Message message = connector.getWithoutAck(7, 500L, java.util.concurrent.TimeUnit.MILLISECONDS);
            long id = message.getId();
            if (id == -1 || message.getEntries().isEmpty()) {
                continue;
            }
            batches++;
            if (batches == 2 && mode.equals("rollback")) {
                connector.rollback(id);
                continue;
            }
            if (batches == 2 && mode.equals("reconnect")) {
                connector.disconnect();
                connector = connect(port);
                continue;
            }
            for (CanalEntry.Entry entry : message.getEntries()) {
                if (entry.getEntryType() != CanalEntry.EntryType.ROWDATA) {
                    continue;
                }
                CanalEntry.RowChange change = CanalEntry.RowChange.parseFrom(entry.getStoreValue());
                for (CanalEntry.RowData row : change.getRowDatasList()) {
                    boolean delete = change.getEventType() == CanalEntry.EventType.DELETE;
                    StringBuilder line = new StringBuilder(change.getEventType().name());
                    for (CanalEntry.Column column : delete ? row.getBeforeColumnsList() : row.getAfterColumnsList()) {
                        line.append(' ').append(column.getName()).append('=').append(column.getValue());
                    }
                    System.out.println(line);
                    seen++;
                }
            }
            connector.ack(id);
        }
        connector.disconnect();
        if (seen < wanted) {
            System.err.println("only " + seen + " of " + wanted + " rows came");
            System.exit(1);
        }
    }
}
