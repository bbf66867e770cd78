import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.List;
import java.util.Set;
import org.h2.mvstore.MVStore;

/**
 * `java WireServer PORT FILE`: a server with MongoDB's wire protocol on loopback, for the tests.
 *
 * <p>What it has confirmed survives kill -9: each write is in the file before it is answered. Commands are therefore done
 * one after the other, so that the file never has half of one.
 */
public final class WireServer {
  private static final Set<String> WRITES =
      Set.of("insert", "update", "delete", "findAndModify", "createIndexes", "dropIndexes", "drop", "dropDatabase");

  private WireServer() {}

  public static void main(String[] arguments) throws Exception {
    MVStore store = new MVStore.Builder().fileName(arguments[1]).autoCommitDisabled().open();
    store.setVersionsToKeep(0);
    store.setRetentionTime(0); // space is used again at once: only a power cut could need what was there
    MongoServer server = new MongoServer(new DurableBackend(store));
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
    Thread.currentThread().join();
  }

  private static final class DurableBackend extends H2Backend {
    DurableBackend(MVStore store) {
      super(store);
      // Current drivers want wire version 9 or later; 13 is MongoDB 5.0.
      version(
          new MongoVersion() {
            @Override
            public List<Integer> getVersionArray() {
              return List.of(5, 0, 0);
            }

            @Override
            public int getWireVersion() {
              return 13;
            }
          });
    }

    @Override
    public synchronized Document handleMessage(MongoMessage message) {
      String command = message.getDocument().keySet().iterator().next();
      try {
        // What is answered is sent later, when the next command may be changing the very same documents.
        return super.handleMessage(message).cloneDeeply();
      } finally {
        if (WRITES.contains(command)) {
          commit();
        }
      }
    }
  }
}
