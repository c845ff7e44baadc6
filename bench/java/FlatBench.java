import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONWriter;
import com.alibaba.otter.canal.connector.core.producer.MQMessageUtils;
import com.alibaba.otter.canal.connector.core.producer.MQMessageUtils.EntryRowData;
import com.alibaba.otter.canal.protocol.CanalEntry;
import com.alibaba.otter.canal.protocol.FlatMessage;
import java.io.DataInputStream;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.FileInputStream;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;

/**
 * Canal's own way from entries to flat JSON, as its Kafka producer goes it: parse, convert, serialize.
 * Arguments: a file of entries (4-byte length, bytes), bytes of it to use, seconds to warm up, seconds to
 * measure.
 */
public final class FlatBench {
    private static final int BATCH = 50;

    public static void main(String[] arguments) throws Exception {
        List<byte[]> entries = new ArrayList<>();
        long bytes = read(arguments[0], Long.parseLong(arguments[1]), entries);
        long[] written = new long[1];
        long warm = System.nanoTime() + Long.parseLong(arguments[2]) * 1_000_000_000L;
        while (System.nanoTime() < warm) {
            written[0] = round(entries);
        }
        com.sun.management.OperatingSystemMXBean process =
            (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        java.lang.management.ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        long cpu = process.getProcessCpuTime();
        long thread = threads.getCurrentThreadCpuTime();
        long end = System.nanoTime() + Long.parseLong(arguments[3]) * 1_000_000_000L;
        int rounds = 0;
        do {
            round(entries);
            rounds++;
        } while (System.nanoTime() < end);
        System.out.printf("entries %d bytes %d json %d cpu_us %d thread_us %d%n", entries.size(), bytes, written[0],
            (process.getProcessCpuTime() - cpu) / 1000 / rounds,
            (threads.getCurrentThreadCpuTime() - thread) / 1000 / rounds);
    }

    private static long read(String path, long limit, List<byte[]> entries) throws Exception {
        long bytes = 0;
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(new FileInputStream(path), 1 << 20))) {
            while (bytes < limit) {
                byte[] entry = new byte[in.readInt()];
                in.readFully(entry);
                entries.add(entry);
                bytes += entry.length;
            }
        } catch (EOFException end) {
            return bytes;
        }
        return bytes;
    }

    /** Batches of some entries, as a client of the server would get them. */
    private static long round(List<byte[]> entries) throws Exception {
        long written = 0;
        for (int from = 0; from < entries.size(); from += BATCH) {
            List<byte[]> batch = entries.subList(from, Math.min(from + BATCH, entries.size()));
            List<EntryRowData> rows = new ArrayList<>(batch.size());
            for (byte[] bytes : batch) {
                CanalEntry.Entry entry = CanalEntry.Entry.parseFrom(bytes);
                if (entry.getEntryType() == CanalEntry.EntryType.ROWDATA) {
                    EntryRowData row = new EntryRowData();
                    row.entry = entry;
                    row.rowChange = CanalEntry.RowChange.parseFrom(entry.getStoreValue());
                    rows.add(row);
                }
            }
            List<FlatMessage> messages = MQMessageUtils.messageConverter(rows.toArray(new EntryRowData[0]), 1);
            for (FlatMessage message : messages) {
                written += JSON.toJSONBytes(message, JSONWriter.Feature.WriteNulls, JSONWriter.Feature.LargeObject).length;
            }
        }
        return written;
    }
}
