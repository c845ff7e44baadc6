import com.alibaba.otter.canal.common.alarm.LogAlarmHandler;
import com.alibaba.otter.canal.common.zookeeper.ZkClientx;
import com.alibaba.otter.canal.common.zookeeper.ZookeeperPathUtils;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningData;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningListener;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningMonitor;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningMonitors;
import com.alibaba.otter.canal.filter.aviater.AviaterRegexFilter;
import com.alibaba.otter.canal.instance.core.AbstractCanalInstance;
import com.alibaba.otter.canal.instance.core.CanalInstance;
import com.alibaba.otter.canal.meta.CanalMetaManager;
import com.alibaba.otter.canal.meta.FileMixedMetaManager;
import com.alibaba.otter.canal.meta.PeriodMixedMetaManager;
import com.alibaba.otter.canal.meta.ZooKeeperMetaManager;
import com.alibaba.otter.canal.parse.ha.HeartBeatHAController;
import com.alibaba.otter.canal.parse.inbound.mysql.MysqlEventParser;
import com.alibaba.otter.canal.parse.index.FailbackLogPositionManager;
import com.alibaba.otter.canal.parse.index.MemoryLogPositionManager;
import com.alibaba.otter.canal.parse.index.MetaLogPositionManager;
import com.alibaba.otter.canal.parse.support.AuthenticationInfo;
import com.alibaba.otter.canal.protocol.position.EntryPosition;
import com.alibaba.otter.canal.server.embedded.CanalServerWithEmbedded;
import com.alibaba.otter.canal.server.netty.CanalServerWithNetty;
import com.alibaba.otter.canal.sink.entry.EntryEventSink;
import com.alibaba.otter.canal.store.memory.MemoryEventStoreWithBuffer;
import com.alibaba.otter.canal.store.model.BatchMode;
import com.google.common.base.Function;
import com.google.common.collect.MigrateMap;
import java.io.File;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.I0Itec.zkclient.IZkStateListener;
import org.I0Itec.zkclient.exception.ZkNodeExistsException;
import org.apache.zookeeper.Watcher.Event.KeeperState;

/**
 * Canal's published server with one destination, put together as its deployer does it: with its
 * cursors in a file, or, when ZooKeeper is named, as one of a cluster with its cursors there. Only
 * the buffers are smaller and its pause before it takes over is shorter than by default. Prints what
 * happens, one line each:
 *
 * <pre>
 * listening on 127.0.0.1:PORT | serving DESTINATION | left DESTINATION | stopped
 * </pre>
 *
 * Arguments, each as NAME=VALUE: port, destination, source (HOST:PORT), user, password, file (the
 * binlog file to begin with when there is no cursor), gtid (true: it goes on by GTID set where the
 * cursor has one), data (a folder), buffer (KiB of the store; 4096), zookeeper, session (ms), login and
 * hash (what clients need: a user and the hash of the password, as canal.passwd has it).
 */
public final class CanalServerMain {
    private static final String IP = "127.0.0.1";

    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final Map<String, String> settings;
    private final int port;
    private final CanalServerWithEmbedded embedded = CanalServerWithEmbedded.instance();
    private final CanalServerWithNetty netty = CanalServerWithNetty.instance();
    /** Null without a cluster. */
    private final ZkClientx zookeeper;

    private CanalServerMain(Map<String, String> settings) {
        this.settings = settings;
        port = Integer.parseInt(settings.get("port"));
        String servers = settings.get("zookeeper");
        zookeeper =
                servers == null
                        ? null
                        : new ZkClientx(
                                servers, Integer.parseInt(settings.get("session")), 30_000);
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> settings = new HashMap<>();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            settings.put(parts[0], parts[1]);
        }
        CanalServerMain server = new CanalServerMain(settings);
        server.start();
        Runtime.getRuntime().addShutdownHook(new Thread(server::stop));
        server.out.println("listening on " + IP + ":" + server.port);
    }

    private String address() {
        return IP + ":" + port;
    }

    @SuppressWarnings("unchecked")
    private void start() {
        embedded.setCanalInstanceGenerator(this::instance);
        embedded.setMetricsPort(0);
        embedded.setUser(settings.get("login"));
        embedded.setPasswd(settings.get("hash"));
        netty.setIp(IP);
        netty.setPort(port);
        if (zookeeper != null) {
            zookeeper.createPersistent(ZookeeperPathUtils.DESTINATION_ROOT_NODE, true);
            zookeeper.createPersistent(ZookeeperPathUtils.CANAL_CLUSTER_ROOT_NODE, true);
            register(ZookeeperPathUtils.getCanalClusterNode(address()));
        }
        ServerRunningData self = new ServerRunningData(address());
        ServerRunningMonitors.setServerData(self);
        Function<String, ServerRunningMonitor> maker = destination -> monitor(self, destination);
        ServerRunningMonitors.setRunningMonitors(MigrateMap.makeComputingMap(maker));
        embedded.start();
        ServerRunningMonitors.getRunningMonitor(settings.get("destination")).start();
        netty.start();
    }

    /** The order is that of Canal's deployer. */
    private void stop() {
        netty.stop();
        for (ServerRunningMonitor monitor : ServerRunningMonitors.getRunningMonitors().values()) {
            if (monitor.isStart()) {
                monitor.stop();
            }
        }
        if (zookeeper != null) {
            zookeeper.delete(ZookeeperPathUtils.getCanalClusterNode(address()));
            zookeeper.close();
        }
        out.println("stopped");
    }

    private ServerRunningMonitor monitor(ServerRunningData self, String destination) {
        String node = ZookeeperPathUtils.getDestinationClusterNode(destination, address());
        ServerRunningMonitor monitor = new ServerRunningMonitor(self);
        monitor.setDestination(destination);
        monitor.setDelayTime(1);
        monitor.setListener(
                new ServerRunningListener() {
                    @Override
                    public void processStart() {
                        if (zookeeper != null) {
                            register(node);
                        }
                    }

                    @Override
                    public void processStop() {
                        if (zookeeper != null) {
                            zookeeper.delete(node);
                        }
                    }

                    @Override
                    public void processActiveEnter() {
                        embedded.start(destination);
                        out.println("serving " + destination);
                    }

                    @Override
                    public void processActiveExit() {
                        embedded.stop(destination);
                        out.println("left " + destination);
                    }
                });
        if (zookeeper != null) {
            monitor.setZkClient(zookeeper);
        }
        monitor.init();
        return monitor;
    }

    /** Makes an ephemeral node, now and in every later session. */
    private void register(String path) {
        create(path);
        zookeeper.subscribeStateChanges(
                new IZkStateListener() {
                    @Override
                    public void handleStateChanged(KeeperState state) { }

                    @Override
                    public void handleNewSession() {
                        create(path);
                    }

                    @Override
                    public void handleSessionEstablishmentError(Throwable error) {
                        System.err.println("no session with ZooKeeper: " + error);
                    }
                });
    }

    private void create(String path) {
        zookeeper.createPersistent(path.substring(0, path.lastIndexOf('/')), true);
        try {
            zookeeper.createEphemeral(path);
        } catch (ZkNodeExistsException e) {
            // It is made twice, when the monitor is made and when it starts.
        }
    }

    private CanalInstance instance(String destination) {
        if (!destination.equals(settings.get("destination"))) {
            throw new IllegalArgumentException("can't find destination:" + destination);
        }
        return new Instance(destination);
    }

    /** What Canal's file-instance.xml and default-instance.xml put together. */
    private final class Instance extends AbstractCanalInstance {
        Instance(String name) {
            destination = name;
            alarmHandler = new LogAlarmHandler();
            metaManager = meta();

            MemoryEventStoreWithBuffer store = new MemoryEventStoreWithBuffer();
            store.setBufferSize(Integer.parseInt(settings.getOrDefault("buffer", "4096")));
            store.setBufferMemUnit(1024);
            store.setBatchMode(BatchMode.MEMSIZE);
            store.setRaw(true);
            eventStore = store;

            EntryEventSink sink = new EntryEventSink();
            sink.setEventStore(store);
            eventSink = sink;
            eventParser = parser(sink);
        }

        private CanalMetaManager meta() {
            if (zookeeper == null) {
                FileMixedMetaManager meta = new FileMixedMetaManager();
                meta.setDataDirByFile(new File(settings.get("data")));
                meta.setPeriod(1000);
                return meta;
            }
            ZooKeeperMetaManager nodes = new ZooKeeperMetaManager();
            nodes.setZkClientx(zookeeper);
            PeriodMixedMetaManager meta = new PeriodMixedMetaManager();
            meta.setZooKeeperMetaManager(nodes);
            meta.setPeriod(1000);
            return meta;
        }

        @SuppressWarnings("unchecked")
        private MysqlEventParser parser(EntryEventSink sink) {
            String[] source = settings.get("source").split(":");
            MysqlEventParser parser = new MysqlEventParser();
            parser.setDestination(destination);
            parser.setEventSink(sink);
            parser.setAlarmHandler(alarmHandler);
            // Another one than that of any other server that follows the same source.
            parser.setSlaveId(port);
            parser.setMasterInfo(
                    new AuthenticationInfo(
                            new InetSocketAddress(source[0], Integer.parseInt(source[1])),
                            settings.get("user"),
                            settings.get("password")));
            parser.setMasterPosition(new EntryPosition(settings.get("file"), 4L));
            parser.setIsGTIDMode(Boolean.parseBoolean(settings.get("gtid")));
            parser.setHaController(new HeartBeatHAController());
            parser.setDetectingEnable(false);
            parser.setEventFilter(new AviaterRegexFilter(".*\\..*"));
            parser.setEventBlackFilter(new AviaterRegexFilter("mysql\\.slave_.*", false));
            parser.setTransactionSize(1024);
            parser.setParallelBufferSize(256);
            parser.setConnectionCharset("UTF-8");
            parser.setEnableTsdb(false);
            parser.setLogPositionManager(
                    new FailbackLogPositionManager(
                            new MemoryLogPositionManager(),
                            new MetaLogPositionManager(metaManager)));
            return parser;
        }
    }
}
