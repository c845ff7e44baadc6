import com.alibaba.otter.canal.client.CanalConnectors;
import com.alibaba.otter.canal.client.impl.ClusterCanalConnector;
import com.alibaba.otter.canal.common.zookeeper.ZkClientx;
import com.alibaba.otter.canal.protocol.exception.CanalClientException;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.I0Itec.zkclient.ZkClient;

/**
 * Connects to a cluster that has no server, with Canal's published client, again and again: each caller
 * builds a connector, catches what it throws, and leaves it, as in alibaba/canal#5289. A connect that
 * returns, though there is no server, is disconnected in order. Every second it prints, after a full
 * garbage collection:
 *
 * <pre>
 * sample FAILURES STANDBYS HEAP_BYTES LISTENERS THREADS
 * </pre>
 *
 * It ends with its standard input. Arguments: ZooKeeper servers, destination, number of callers.
 */
public final class CanalLeak {
    private static final long SAMPLE_MS = 1000;

    private static final AtomicLong FAILURES = new AtomicLong();
    private static final AtomicLong STANDBYS = new AtomicLong();

    private CanalLeak() { }

    public static void main(String[] arguments) throws Exception {
        int callers = Integer.parseInt(arguments[2]);
        for (int i = 0; i < callers; i++) {
            Thread caller = new Thread(() -> connectForEver(arguments[0], arguments[1]));
            caller.setDaemon(true);
            caller.start();
        }
        Thread reporter = new Thread(() -> report(arguments[0]));
        reporter.setDaemon(true);
        reporter.start();
        while (System.in.read() != -1) { }
        // Its ZooKeeper threads would keep the process.
        System.exit(0);
    }

    private static void connectForEver(String servers, String destination) {
        while (true) {
            try {
                ClusterCanalConnector connector =
                        (ClusterCanalConnector)
                                CanalConnectors.newClusterConnector(servers, destination, "", "");
                // One attempt a connector: by default it makes three, 5 s apart.
                connector.setRetryTimes(1);
                connector.setRetryInterval(1);
                connector.connect();
                if (connector.checkValid()) {
                    System.err.println("connected in an empty cluster");
                    System.exit(1);
                }
                // Standby of a connector that was left before, and that still takes the lock.
                STANDBYS.incrementAndGet();
                connector.disconnect();
            } catch (CanalClientException e) {
                FAILURES.incrementAndGet();
            }
        }
    }

    private static void report(String servers) {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        try {
            while (true) {
                Thread.sleep(SAMPLE_MS);
                System.gc();
                Runtime runtime = Runtime.getRuntime();
                out.println(
                        "sample " + FAILURES.get()
                                + " " + STANDBYS.get()
                                + " " + (runtime.totalMemory() - runtime.freeMemory())
                                + " " + listeners(servers)
                                + " " + ManagementFactory.getThreadMXBean().getThreadCount());
            }
        } catch (InterruptedException | ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Listeners that the one ZooKeeper client of the process keeps. */
    private static long listeners(String servers) throws ReflectiveOperationException {
        ZkClientx client = ZkClientx.getZkClient(servers);
        long count = 0;
        for (String name : new String[] {"_childListener", "_dataListener"}) {
            Field field = ZkClient.class.getDeclaredField(name);
            field.setAccessible(true);
            for (Object listeners : ((Map<?, ?>) field.get(client)).values()) {
                count += ((Set<?>) listeners).size();
            }
        }
        return count;
    }
}
