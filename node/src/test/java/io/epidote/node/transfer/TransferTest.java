package io.epidote.node.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockPool;
import io.epidote.node.NodeRuntime;
import io.epidote.node.lease.LeaseTable;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Bytes arrive as they are, however they travel; and what goes wrong ends soon, and for good. */
@Timeout(120)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class TransferTest {
  /** Every failure is known by then. */
  private static final Duration SOON = Duration.ofSeconds(2);

  private final NodeRuntime overTcp = consumer(new TransferOptions(256 << 10, true, false));
  private final NodeRuntime overUnix = consumer(new TransferOptions(1 << 20, true, true));

  /** Long enough to be interfered with: 512 MiB. */
  private static final int LONG = 64;

  private final Producer producer = new Producer(Producer.LEASE, true, 1, 1 << 20, 8);

  @AfterAll
  void stop() {
    producer.close();
    overTcp.close();
    overUnix.close();
  }

  private static NodeRuntime consumer(TransferOptions options) {
    return Producer.node("consumer", Producer.LEASE, options);
  }

  private NodeRuntime consumer(boolean unix) {
    return unix ? overUnix : overTcp;
  }

  private static List<ByteBuffer> room(long bytes) {
    List<ByteBuffer> room = new ArrayList<>();
    for (long left = bytes; left > 0; ) {
      int next = (int) Math.min(left, 300_000);
      room.add(ByteBuffer.allocateDirect(next));
      left -= next;
    }
    return room;
  }

  /** Where {@link #LONG} transfers go: over and over the same few bytes. */
  private static List<ByteBuffer> sink(Handle handle) {
    return Collections.nCopies(
        Math.toIntExact(handle.getBytes() >> 20), ByteBuffer.allocateDirect(1 << 20));
  }

  private static CompletableFuture<PullEnd> pull(
      NodeRuntime consumer, Handle handle, List<ByteBuffer> destinations) {
    CompletableFuture<PullEnd> ended = new CompletableFuture<>();
    consumer.context().transfers().pull(handle, destinations, WireForm.EXACT, ended::complete);
    return ended;
  }

  private static PullEnd soon(CompletableFuture<PullEnd> ended) {
    return ended.orTimeout(SOON.toMillis(), TimeUnit.MILLISECONDS).join();
  }

  private static EpidoteException error(CompletableFuture<PullEnd> ended) {
    PullEnd end = soon(ended);
    assertThat(end).isInstanceOf(PullEnd.Failed.class);
    return ((PullEnd.Failed) end).error();
  }

  private static void awaitFirstBytes(List<ByteBuffer> destinations) {
    await()
        .pollDelay(Duration.ZERO)
        .pollInterval(Duration.ofMillis(1))
        .atMost(Duration.ofSeconds(10))
        .until(() -> destinations.getFirst().getLong(0) != 0);
  }

  private static byte[] bytes(List<ByteBuffer> buffers) {
    byte[] all = new byte[buffers.stream().mapToInt(ByteBuffer::capacity).sum()];
    int at = 0;
    for (ByteBuffer buffer : buffers) {
      buffer.get(0, all, at, buffer.capacity());
      at += buffer.capacity();
    }
    return all;
  }

  @ParameterizedTest
  @CsvSource({
    // Small parts are copied together, large ones go as they are; chunks end within parts.
    "30, 24576, 7, 262144, true, false",
    "30, 24576, 7, 262144, true, true",
    "5, 1000, 400, 1048576, true, false",
    "5, 1000, 400, 1048576, false, true",
    "1, 700001, 9, 4194304, false, false",
    "2, 1048576, 5, 1048576, true, true",
    "1, 16, 1, 262144, true, false",
  })
  void bytesArriveAsTheyAre(
      int planes, int partBytes, int blocks, int chunkBytes, boolean checksum, boolean unix) {
    try (Producer other = new Producer(Producer.LEASE, unix, planes, partBytes, blocks);
        NodeRuntime consumer = consumer(new TransferOptions(chunkBytes, checksum, unix))) {
      for (int i = 0; i < 3; i++) {
        Handle handle = other.grant(1);
        List<ByteBuffer> room = room(handle.getBytes());
        PullEnd end = soon(pull(consumer, handle, room));
        assertThat(end)
            .isInstanceOfSatisfying(
                PullEnd.Pulled.class,
                pulled -> assertThat(pulled.bytes()).isEqualTo(handle.getBytes()));
        assertThat(bytes(room)).isEqualTo(bytes(other.parts()));
        other.assertEmpty();
      }
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void pullsOverOneConnectionDoNotMixAndCancelledOnesEnd(boolean unix) {
    List<List<ByteBuffer>> rooms = new ArrayList<>();
    List<CompletableFuture<PullEnd>> ends = new ArrayList<>();
    List<Pull> pulls = new ArrayList<>();
    for (int i = 0; i < 12; i++) {
      Handle handle = producer.grant(1);
      CompletableFuture<PullEnd> ended = new CompletableFuture<>();
      rooms.add(room(handle.getBytes()));
      ends.add(ended);
      pulls.add(
          consumer(unix)
              .context()
              .transfers()
              .pull(handle, rooms.getLast(), WireForm.EXACT, ended::complete));
    }
    for (int i = 2; i < 12; i += 3) {
      awaitFirstBytesOrEnd(rooms.get(i), ends.get(i));
      pulls.get(i).cancel();
    }
    byte[] expected = bytes(producer.parts());
    for (int i = 0; i < 12; i++) {
      PullEnd end = soon(ends.get(i));
      if (i % 3 != 2) {
        assertThat(end).isInstanceOf(PullEnd.Pulled.class);
      }
      if (end instanceof PullEnd.Pulled) {
        assertThat(bytes(rooms.get(i))).isEqualTo(expected);
      }
    }
    producer.assertEmpty();
  }

  private static void awaitFirstBytesOrEnd(
      List<ByteBuffer> room, CompletableFuture<PullEnd> ended) {
    await()
        .pollDelay(Duration.ZERO)
        .pollInterval(Duration.ofMillis(1))
        .until(() -> ended.isDone() || room.getFirst().getLong(0) != 0);
  }

  private enum Abort {
    CONSUMER_BEFORE_BYTES,
    CONSUMER_IN_MID_TRANSFER,
    CONSUMER_AFTERWARDS,
    PRODUCER_BEFORE_THE_PULL,
    PRODUCER_BEFORE_BYTES,
    PRODUCER_IN_MID_TRANSFER
  }

  @ParameterizedTest
  @EnumSource(Abort.class)
  void anAbortAtAnyStepEndsThePullAndFreesTheBlocks(Abort when) {
    for (boolean unix : new boolean[] {false, true}) {
      LeaseTable leases = producer.node.context().leases();
      Handle handle = producer.grant(LONG);
      List<ByteBuffer> sink = sink(handle);
      if (when == Abort.PRODUCER_BEFORE_THE_PULL) {
        leases.revoke(handle);
      }
      CompletableFuture<PullEnd> ended = new CompletableFuture<>();
      Pull pull =
          consumer(unix).context().transfers().pull(handle, sink, WireForm.EXACT, ended::complete);
      switch (when) {
        case CONSUMER_BEFORE_BYTES -> pull.cancel();
        case CONSUMER_IN_MID_TRANSFER -> {
          awaitFirstBytes(sink);
          pull.cancel();
        }
        case CONSUMER_AFTERWARDS -> {
          ended.orTimeout(30, TimeUnit.SECONDS).join();
          pull.cancel();
        }
        case PRODUCER_BEFORE_THE_PULL -> {}
        case PRODUCER_BEFORE_BYTES -> leases.revoke(handle);
        case PRODUCER_IN_MID_TRANSFER -> {
          awaitFirstBytes(sink);
          leases.revoke(handle);
        }
      }
      switch (when) {
        case CONSUMER_BEFORE_BYTES, CONSUMER_IN_MID_TRANSFER ->
            assertThat(soon(ended)).isInstanceOf(PullEnd.Cancelled.class);
        case CONSUMER_AFTERWARDS -> assertThat(soon(ended)).isInstanceOf(PullEnd.Pulled.class);
        case PRODUCER_BEFORE_THE_PULL, PRODUCER_BEFORE_BYTES, PRODUCER_IN_MID_TRANSFER ->
            assertThat(error(ended))
                .isInstanceOf(EpidoteException.Unavailable.class)
                .message()
                .containsAnyOf("is not held here", "lease on the handle ended");
      }
      producer.assertEmpty();
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aProducerThatIsKilledInMidTransferIsKnownSoon(boolean unix, @TempDir Path folder)
      throws Exception {
    Path file = folder.resolve("handle");
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                Producer.class.getName(),
                file.toString(),
                Boolean.toString(unix))
            .inheritIO()
            .start();
    try {
      await().atMost(Duration.ofSeconds(60)).until(() -> Files.exists(file));
      Handle handle = Handle.parseFrom(Files.readAllBytes(file));
      List<ByteBuffer> sink = sink(handle);
      CompletableFuture<PullEnd> ended = pull(consumer(unix), handle, sink);
      awaitFirstBytes(sink);
      process.destroyForcibly();
      assertThat(error(ended))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("producer at " + handle.getAddress());
      // What is left of it leads nobody astray.
      assertThat(error(pull(consumer(unix), handle, sink)))
          .isInstanceOf(EpidoteException.Unavailable.class);
    } finally {
      process.destroyForcibly().waitFor();
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aProducerThatClosesInMidTransferFreesItsBlocks(boolean unix) {
    Producer closing = new Producer(Producer.LEASE, unix, 1, 1 << 20, 8);
    Handle handle = closing.grant(LONG);
    List<ByteBuffer> sink = sink(handle);
    CompletableFuture<PullEnd> ended = pull(consumer(unix), handle, sink);
    awaitFirstBytes(sink);
    closing.close();
    assertThat(error(ended)).isInstanceOf(EpidoteException.Unavailable.class);
    assertThat(closing.node.context().leases().outstanding()).isLessThanOrEqualTo(1);
  }

  @Test
  void anExpiredLeaseIsToldSoon() {
    try (Producer other = new Producer(Duration.ofMillis(50), false, 1, 1024, 4)) {
      Handle handle = other.grant(1);
      other.assertEmpty();
      assertThat(error(pull(overTcp, handle, room(handle.getBytes()))))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("is not held here: it expired");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"epoch", "node", "id"})
  void aHandleOfSomethingElseWritesNothing(String wrong) {
    Handle handle = producer.grant(1);
    Handle.Builder changed = handle.toBuilder();
    switch (wrong) {
      case "epoch" -> changed.setEpoch(handle.getEpoch() + 1);
      case "node" -> changed.setNodeId("another");
      default -> changed.setId(handle.getId() + 1000);
    }
    List<ByteBuffer> room = room(handle.getBytes());
    assertThat(error(pull(overTcp, changed.build(), room)))
        .isInstanceOf(EpidoteException.Unavailable.class)
        .hasMessageContaining("is not held here");
    assertThat(bytes(room)).isEqualTo(new byte[Math.toIntExact(handle.getBytes())]);
    producer.node.context().leases().release(handle);
    producer.assertEmpty();
  }

  @Test
  void aHandleOfAnotherLengthThanExpectedIsNotPulled() {
    Handle handle = producer.grant(1);
    int bytes = Math.toIntExact(handle.getBytes()) + 1;
    List<ByteBuffer> room = room(bytes);
    assertThat(error(pull(overTcp, handle, room)))
        .isInstanceOf(EpidoteException.InvalidRequest.class)
        .hasMessageContaining(Long.toString(handle.getBytes()));
    assertThat(bytes(room)).isEqualTo(new byte[bytes]);
    producer.node.context().leases().release(handle);
    producer.assertEmpty();
  }

  @Test
  void theUnixSocketIsUsedWhereThereIsOne() {
    // Nobody listens at this address.
    String address = "127.0.0.1:1";
    BlockPool pool = new BlockPool("kv", 1 << 16, 4);
    LeaseTable leases =
        new LeaseTable(
            "node", () -> address, () -> 0, 77, Producer.LEASE, System::nanoTime, Runnable::run);
    BulkTransport transport = new BulkTransport();
    Optional<UnixServer> server =
        UnixServer.tryStart(transport, new TransferServer(leases, transport), address, 77);
    assertThat(server).isPresent();
    int[] blocks = pool.tryAllocate(4).orElseThrow();
    Handle handle = leases.grant(pool, blocks, _ -> pool.release(blocks));
    assertThat(soon(pull(overUnix, handle, room(handle.getBytes()))))
        .isInstanceOf(PullEnd.Pulled.class);
    // Its release goes over TCP.
    leases.release(handle);
    assertThat(pool.used()).isZero();
    server.get().close();
    assertThat(UnixSockets.open().orElseThrow().find(handle)).isEmpty();
    transport.close();
  }

  @Test
  void aUnixSocketThatNobodyListensOnIsPassedOver() throws IOException {
    try (Producer other = new Producer(Producer.LEASE, false, 1, 1024, 4)) {
      Handle handle = other.grant(1);
      Path dead = UnixSockets.open().orElseThrow().path(handle.getAddress(), handle.getEpoch());
      ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
      listener.bind(UnixDomainSocketAddress.of(dead)).close();
      assertThat(dead).exists();
      assertThat(soon(pull(overUnix, handle, room(handle.getBytes()))))
          .isInstanceOf(PullEnd.Pulled.class);
      other.assertEmpty();
      // The next node that starts clears it away.
      UnixSockets.open().orElseThrow().sweep();
      assertThat(dead).doesNotExist();
    }
  }

  @Test
  void theContractIsTheGeneratedOne() {
    BulkTransport transport = new BulkTransport();
    var served =
        new TransferServer(producer.node.context().leases(), transport)
            .bindService()
            .getServiceDescriptor();
    transport.close();
    assertThat(served.getSchemaDescriptor())
        .isSameAs(TransferServiceGrpc.getServiceDescriptor().getSchemaDescriptor());
    assertThat(served.getMethods())
        .extracting(method -> method.getFullMethodName() + method.getSchemaDescriptor())
        .hasSameElementsAs(
            TransferServiceGrpc.getServiceDescriptor().getMethods().stream()
                .map(method -> method.getFullMethodName() + method.getSchemaDescriptor())
                .toList());
  }

  private enum Lie {
    NONE("", false),
    FLIPPED_BIT("the checksum of 4096 bytes is", true),
    NO_CHECKSUM("without its checksum", false),
    MORE_THAN_ANNOUNCED("1 to 4096 fit", false),
    NOTHING("0 bytes came where 1 to 4096 fit", false),
    LONGER_THAN_THE_MESSAGE("came with 4096 bytes that announces 2048", false),
    SHORTER_THAN_THE_MESSAGE("came with 4000 bytes that announces 4096", false),
    ANOTHER_PLACE("offset 4096", false),
    ANOTHER_MESSAGE("stands before the data", false),
    TOO_FEW("ended early", true);

    final String told;
    final boolean writes;

    Lie(String told, boolean writes) {
      this.told = told;
      this.writes = writes;
    }
  }

  @ParameterizedTest
  @EnumSource(Lie.class)
  void aLyingProducerIsFoundOutBeforeItWritesWhereItMustNot(Lie lie) {
    byte[] data = new byte[4096];
    Arrays.fill(data, (byte) 5);
    byte[] truth = LyingProducer.chunk(0, data).build().toByteArray();
    // Two bytes of the length stand before the data.
    int lengthAt = truth.length - data.length - 2;
    byte[] message =
        switch (lie) {
          case NONE, TOO_FEW -> truth;
          case FLIPPED_BIT -> flip(truth, truth.length - 100);
          case NO_CHECKSUM -> LyingProducer.chunk(0, data).clearCrc32C().build().toByteArray();
          case MORE_THAN_ANNOUNCED -> LyingProducer.chunk(0, new byte[4097]).build().toByteArray();
          case NOTHING -> LyingProducer.chunk(0, new byte[0]).build().toByteArray();
          case LONGER_THAN_THE_MESSAGE -> {
            byte[] changed = truth.clone();
            changed[lengthAt + 1] >>= 1;
            yield changed;
          }
          case SHORTER_THAN_THE_MESSAGE -> Arrays.copyOf(truth, truth.length - 96);
          case ANOTHER_PLACE -> LyingProducer.chunk(4096, data).build().toByteArray();
          case ANOTHER_MESSAGE -> Handle.newBuilder().setNodeId("x").build().toByteArray();
        };
    try (LyingProducer liar = new LyingProducer(List.of(message))) {
      Handle handle = liar.handle(lie == Lie.TOO_FEW ? 2 * 4096 : 4096);
      List<ByteBuffer> room = room(handle.getBytes());
      CompletableFuture<PullEnd> ended = pull(overTcp, handle, room);
      if (lie == Lie.NONE) {
        assertThat(soon(ended)).isInstanceOf(PullEnd.Pulled.class);
        assertThat(bytes(room)).isEqualTo(data);
        return;
      }
      assertThat(error(ended))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("liar")
          .hasMessageContaining(lie.told);
      if (!lie.writes) {
        assertThat(bytes(room)).isEqualTo(new byte[(int) handle.getBytes()]);
      }
    }
  }

  @Test
  void aPullerThatDoesNotCheckIsSentNoChecksum() {
    byte[] data = new byte[4096];
    byte[] message = LyingProducer.chunk(0, data).clearCrc32C().build().toByteArray();
    try (LyingProducer producerWithout = new LyingProducer(List.of(message));
        NodeRuntime careless = consumer(new TransferOptions(256 << 10, false, false))) {
      Handle handle = producerWithout.handle(4096);
      assertThat(soon(pull(careless, handle, room(4096)))).isInstanceOf(PullEnd.Pulled.class);
    }
  }

  private static byte[] flip(byte[] bytes, int at) {
    byte[] flipped = bytes.clone();
    flipped[at] ^= 1;
    return flipped;
  }
}
