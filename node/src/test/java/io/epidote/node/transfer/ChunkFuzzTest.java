package io.epidote.node.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.epidote.engine.fuzz.Fuzz;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.PullResponse;
import io.grpc.HasByteBuffer;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;

/**
 * Messages of blocks with changed bytes are written where they belong or refused; never is a byte
 * written beside the destinations, and what is taken is what protobuf itself reads.
 */
class ChunkFuzzTest {
  private static final int BYTES = 4096;
  private static final int GUARD = 64;
  private static final byte UNTOUCHED = 0x5A;

  @Test
  void changedChunksAreTakenOrRefused() throws Exception {
    ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    ByteBuffer memory = ByteBuffer.allocateDirect(BYTES + 2 * GUARD);
    byte[] data = new byte[BYTES];
    new java.util.Random(7).nextBytes(data);
    List<byte[]> corpus =
        List.of(chunk(data, 0, BYTES), chunk(data, 0, 1000), chunk(data, 0, 1), new byte[0]);
    try {
      long count =
          new Fuzz("chunks", corpus, 500, 4 << 20)
              .run(input -> {
                for (boolean buffers : new boolean[] {false, true}) {
                  read(timer, memory, input, buffers);
                }
                return true;
              });
      assertThat(count).isPositive();
    } finally {
      timer.shutdownNow();
    }
  }

  private static void read(
      ScheduledExecutorService timer, ByteBuffer memory, byte[] input, boolean buffers) {
    for (int i = 0; i < memory.capacity(); i++) {
      memory.put(i, UNTOUCHED);
    }
    // Two blocks beside each other, and what is not theirs around them.
    List<ByteBuffer> destinations =
        List.of(memory.slice(GUARD, BYTES / 4), memory.slice(GUARD + BYTES / 4, BYTES * 3 / 4));
    Pull pull =
        new Pull(
            Handle.newBuilder().setBytes(BYTES).setNodeId("n").setAddress("a").build(),
            destinations,
            WireForm.EXACT,
            new TransferOptions(TransferOptions.MIN_CHUNK_BYTES, true, false, Optional.empty()),
            List.of(),
            Duration.ofSeconds(10),
            timer,
            _ -> {});
    InputStream message = buffers ? new InBuffers(input) : new ByteArrayInputStream(input);
    Pull.Chunk chunk = pull.method().parseResponse(message);
    for (int i = 0; i < GUARD; i++) {
      assertThat(memory.get(i)).isEqualTo(UNTOUCHED);
      assertThat(memory.get(GUARD + BYTES + i)).isEqualTo(UNTOUCHED);
    }
    if (chunk.fault() == null) {
      assertThat(input).as("a chunk is taken as protobuf itself reads it").isNotEmpty();
      PullResponse same = parsed(input);
      byte[] written = new byte[same.getData().size()];
      memory.get(GUARD, written);
      assertThat(written).isEqualTo(same.getData().toByteArray());
      CRC32C crc = new CRC32C();
      crc.update(written);
      assertThat((int) crc.getValue()).isEqualTo(same.getCrc32C());
    }
  }

  private static PullResponse parsed(byte[] input) {
    try {
      return PullResponse.parseFrom(input);
    } catch (InvalidProtocolBufferException e) {
      throw new AssertionError("was taken, and is no message", e);
    }
  }

  private static byte[] chunk(byte[] data, int offset, int length) {
    CRC32C crc = new CRC32C();
    crc.update(data, offset, length);
    return PullResponse.newBuilder()
        .setOffset(offset)
        .setCrc32C((int) crc.getValue())
        .setData(ByteString.copyFrom(data, offset, length))
        .build()
        .toByteArray();
  }

  /** What the network shows: buffers of any size. */
  private static final class InBuffers extends ByteArrayInputStream implements HasByteBuffer {
    private static final int PART = 100;

    InBuffers(byte[] bytes) {
      super(bytes);
    }

    @Override
    public boolean byteBufferSupported() {
      return true;
    }

    @Override
    public ByteBuffer getByteBuffer() {
      return ByteBuffer.wrap(buf, pos, Math.min(PART, count - pos)).slice();
    }
  }
}
