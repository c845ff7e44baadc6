import com.alibaba.otter.canal.client.CanalConnector;
import com.alibaba.otter.canal.client.CanalConnectors;
import com.alibaba.otter.canal.protocol.CanalEntry.Entry;
import com.alibaba.otter.canal.protocol.CanalEntry.EntryType;
import com.alibaba.otter.canal.protocol.CanalEntry.RowChange;
import com.alibaba.otter.canal.protocol.Message;
import java.net.InetSocketAddress;
import java.util.Locale;

/**
 * Takes rows with Canal's published client as its users do: every entry is parsed, every batch
 * acknowledged. Prints `rows N seconds S`, from the first batch on.
 *
 * Arguments: host, port, destination, how many rows.
 */
public final class CanalDrain {
    /** What a batch is: KiB, as servers read it by default. */
    private static final int BATCH_SIZE = 1000;

    private CanalDrain() { }

    public static void main(String[] arguments) throws Exception {
        InetSocketAddress address =
                new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1]));
        long wanted = Long.parseLong(arguments[3]);
        CanalConnector connector =
                CanalConnectors.newSingleConnector(address, arguments[2], "", "");
        connector.connect();
        connector.subscribe();
        long begun = 0;
        long rows = 0;
        while (rows < wanted) {
            Message message = connector.getWithoutAck(BATCH_SIZE);
            if (message.getId() == -1) {
                continue;
            }
            if (begun == 0) {
                begun = System.nanoTime();
            }
            for (Entry entry : message.getEntries()) {
                if (entry.getEntryType() == EntryType.ROWDATA) {
                    rows += RowChange.parseFrom(entry.getStoreValue()).getRowDatasCount();
                }
            }
            connector.ack(message.getId());
        }
        double seconds = (System.nanoTime() - begun) / 1e9;
        System.out.printf(Locale.ROOT, "rows %d seconds %.3f%n", rows, seconds);
        connector.disconnect();
    }
}
