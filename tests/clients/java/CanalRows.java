import com.alibaba.otter.canal.client.CanalConnector;
import com.alibaba.otter.canal.client.CanalConnectors;
import com.alibaba.otter.canal.protocol.CanalEntry.Column;
import com.alibaba.otter.canal.protocol.CanalEntry.Entry;
import com.alibaba.otter.canal.protocol.CanalEntry.EntryType;
import com.alibaba.otter.canal.protocol.CanalEntry.RowChange;
import com.alibaba.otter.canal.protocol.CanalEntry.RowData;
import com.alibaba.otter.canal.protocol.Message;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Follows a destination with Canal's published client and prints what happens, one line each:
 *
 * <pre>
 * row BATCH KIND SCHEMA.TABLE (before) (after)
 * ack BATCH | rollback BATCH | rollback all | reconnect | holding | done
 * </pre>
 *
 * It ends when it has acknowledged a row of a table named `done`. Arguments: host, port, destination,
 * mode. Modes: plain; rollback (one batch, later all of two batches); reconnect (with two batches
 * not acknowledged); hold (larger batches; after the first one waits for a line on standard input).
 */
public final class CanalRows {
    /** What a small batch is: KiB, as servers read it by default. */
    private static final int BATCH_SIZE = 50;

    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final int batchSize;
    private final String host;
    private final int port;
    private final String destination;
    private CanalConnector connector;

    private CanalRows(String host, int port, String destination, int batchSize) {
        this.host = host;
        this.port = port;
        this.destination = destination;
        this.batchSize = batchSize;
    }

    public static void main(String[] arguments) throws Exception {
        int batchSize = arguments[3].equals("hold") ? 1000 : BATCH_SIZE;
        CanalRows rows =
                new CanalRows(
                        arguments[0], Integer.parseInt(arguments[1]), arguments[2], batchSize);
        rows.connect();
        switch (arguments[3]) {
            case "plain" -> { }
            case "rollback" -> rows.rollBack();
            case "reconnect" -> rows.reconnect();
            case "hold" -> rows.hold();
            default -> throw new IllegalArgumentException("mode " + arguments[3]);
        }
        boolean done = false;
        while (!done) {
            Message message = rows.connector.getWithoutAck(batchSize);
            if (message.getId() == -1 || message.getEntries().isEmpty()) {
                Thread.sleep(20);
                continue;
            }
            done = print(message, rows.out);
            rows.ack(message);
        }
        rows.connector.disconnect();
        rows.out.println("done");
    }

    private void connect() {
        connector =
                CanalConnectors.newSingleConnector(
                        new InetSocketAddress(host, port), destination, "", "");
        connector.connect();
        connector.subscribe(".*\\..*");
        connector.rollback();
    }

    private void rollBack() {
        Message first = next();
        print(first, out);
        connector.rollback(first.getId());
        out.println("rollback " + first.getId());

        Message second = next();
        print(second, out);
        ack(second);

        print(next(), out);
        print(next(), out);
        connector.rollback();
        out.println("rollback all");
    }

    private void reconnect() {
        Message first = next();
        print(first, out);
        ack(first);
        print(next(), out);
        print(next(), out);
        connector.disconnect();
        out.println("reconnect");
        connect();
    }

    private void hold() throws Exception {
        Message first = next();
        print(first, out);
        out.println("holding");
        System.in.read();
        ack(first);
    }

    /** The next batch that is not empty. */
    private Message next() {
        while (true) {
            Message message = connector.getWithoutAck(batchSize, 1000L, TimeUnit.MILLISECONDS);
            if (message.getId() != -1 && !message.getEntries().isEmpty()) {
                return message;
            }
        }
    }

    private void ack(Message message) {
        connector.ack(message.getId());
        out.println("ack " + message.getId());
    }

    /** Prints the rows; true when one of them is of a table named `done`. */
    static boolean print(Message message, PrintStream out) {
        boolean done = false;
        for (Entry entry : message.getEntries()) {
            if (entry.getEntryType() != EntryType.ROWDATA) {
                continue;
            }
            RowChange change;
            try {
                change = RowChange.parseFrom(entry.getStoreValue());
            } catch (Exception e) {
                throw new IllegalStateException("entry cannot be parsed: " + entry, e);
            }
            for (RowData row : change.getRowDatasList()) {
                String table =
                        entry.getHeader().getSchemaName() + "." + entry.getHeader().getTableName();
                out.println(
                        "row " + message.getId() + " " + change.getEventType() + " " + table + " "
                                + text(row.getBeforeColumnsList()) + " "
                                + text(row.getAfterColumnsList()));
                done |= entry.getHeader().getTableName().equals("done");
            }
        }
        return done;
    }

    private static String text(List<Column> columns) {
        StringBuilder text = new StringBuilder("(");
        for (Column column : columns) {
            if (text.length() > 1) {
                text.append(',');
            }
            text.append(column.getName()).append('=');
            text.append(column.getIsNull() ? "NULL" : column.getValue());
        }
        return text.append(')').toString();
    }
}
