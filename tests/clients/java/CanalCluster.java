import com.alibaba.otter.canal.client.CanalConnector;
import com.alibaba.otter.canal.client.CanalConnectors;
import com.alibaba.otter.canal.client.impl.ClusterCanalConnector;
import com.alibaba.otter.canal.protocol.Message;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;

/**
 * Follows a destination of a cluster with Canal's published client, and prints what happens as
 * {@link CanalRows} does. Whatever fails is printed on standard error, and tried again for ever. It
 * ends when it has acknowledged a row of a table named `done`. Arguments: ZooKeeper servers,
 * destination.
 */
public final class CanalCluster {
    private static final int BATCH_SIZE = 100;

    private CanalCluster() { }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        boolean done = false;
        while (!done) {
            ClusterCanalConnector connector = null;
            try {
                connector =
                        (ClusterCanalConnector)
                                CanalConnectors.newClusterConnector(
                                        arguments[0], arguments[1], "", "");
                connector.setRetryInterval(200);
                connector.setSoTimeout(5000);
                connector.connect();
                connector.subscribe(".*\\..*");
                connector.rollback();
                out.println("connected");
                while (!done) {
                    done = step(connector, out);
                }
            } catch (RuntimeException e) {
                // Not only Canal's: its ZooKeeper client throws others, and its threads would keep this
                // process, and the lock, without anybody who reads.
                System.err.println(e);
                out.println("reconnect");
                Thread.sleep(200);
            } finally {
                disconnect(connector);
            }
        }
        out.println("done");
        // Its ZooKeeper threads would keep the process.
        System.exit(0);
    }

    private static boolean step(CanalConnector connector, PrintStream out) {
        Message message = connector.getWithoutAck(BATCH_SIZE, 500L, TimeUnit.MILLISECONDS);
        if (message.getId() == -1 || message.getEntries().isEmpty()) {
            return false;
        }
        boolean done = CanalRows.print(message, out);
        connector.ack(message.getId());
        out.println("ack " + message.getId());
        return done;
    }

    private static void disconnect(CanalConnector connector) {
        if (connector == null) {
            return;
        }
        try {
            connector.disconnect();
        } catch (RuntimeException e) {
            System.err.println(e);
        }
    }
}
