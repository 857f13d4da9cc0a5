package io.epidote.node.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.node.NodeRuntime;
import io.epidote.node.transfer.WireForm.Int8Kv;
import io.epidote.proto.stage.v1.Handle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;

/** Heads of KV blocks that travel as bytes and scales. */
class Int8CodecTest {
  private static ByteBuffer floats(int count) {
    return ByteBuffer.allocateDirect(count * Float.BYTES).order(ByteOrder.nativeOrder());
  }

  /** Numbers of very different sizes, and rows of nothing. */
  private static void fill(ByteBuffer head, Random random) {
    for (int i = 0; i < head.capacity() / Float.BYTES; i++) {
      float value = (float) (random.nextGaussian() * Math.pow(10, random.nextInt(7) - 3));
      head.putFloat(i * Float.BYTES, random.nextInt(5) == 0 ? 0 : value);
    }
  }

  private static ByteBuffer thereAndBack(Int8Kv form, ByteBuffer head) {
    Int8Codec codec = new Int8Codec(form);
    ByteBuffer wire = ByteBuffer.allocateDirect(form.headWireBytes());
    codec.quantise(head.duplicate(), wire);
    assertThat(wire.hasRemaining()).isFalse();
    ByteBuffer result = floats(form.headFloats());
    new Int8Codec(form).dequantise(wire.flip(), result);
    assertThat(result.hasRemaining()).isFalse();
    return result.flip().order(ByteOrder.nativeOrder());
  }

  @Property(tries = 200)
  void noFloatIsOffByMoreThanHalfAStepOfItsRow(
      @ForAll long seed,
      @ForAll @IntRange(min = 1, max = 80) int keyWidth,
      @ForAll @IntRange(min = 1, max = 80) int valueWidth) {
    Int8Kv form = new Int8Kv(keyWidth, valueWidth);
    ByteBuffer head = floats(form.headFloats());
    fill(head, new Random(seed));
    ByteBuffer result = thereAndBack(form, head);
    for (int token = 0; token < Int8Kv.TOKENS; token++) {
      assertRow(head, result, token, Int8Kv.TOKENS, keyWidth);
      assertRow(head, result, Int8Kv.TOKENS * keyWidth + token * valueWidth, 1, valueWidth);
    }
  }

  private static void assertRow(
      ByteBuffer head, ByteBuffer result, int first, int stride, int width) {
    float largest = 0;
    for (int i = 0; i < width; i++) {
      largest = Math.max(largest, Math.abs(head.getFloat((first + i * stride) * Float.BYTES)));
    }
    double bound = largest / 127.0 * 0.5 * (1 + 1e-4);
    for (int i = 0; i < width; i++) {
      int at = (first + i * stride) * Float.BYTES;
      double error = Math.abs((double) head.getFloat(at) - result.getFloat(at));
      assertThat(error).isLessThanOrEqualTo(bound);
    }
  }

  @Example
  void numbersTooSmallForAScaleBecomeNothing() {
    Int8Kv form = new Int8Kv(1, 1);
    ByteBuffer head = floats(form.headFloats());
    head.putFloat(0, Float.MIN_VALUE);
    head.putFloat(4, -1e-38f);
    head.putFloat(8, 1e38f);
    ByteBuffer result = thereAndBack(form, head);
    assertThat(result.getFloat(0)).isZero();
    assertThat(result.getFloat(4)).isZero();
    assertThat(result.getFloat(8) / 1e38f).isEqualTo(1f, within(1e-4f));
  }

  /** Chunks that end within a head's bytes on arrival, parts of many heads, several pulls. */
  @Example
  void blocksArriveAsTheCodecLeavesThem() throws Exception {
    Int8Kv form = new Int8Kv(24, 40);
    int partHeads = 3;
    int partBytes = partHeads * form.headBytes();
    try (Producer producer = new Producer(Producer.LEASE, true, 5, partBytes, 60);
        NodeRuntime tcp =
            Producer.node("tcp", Producer.LEASE, new TransferOptions(256 << 10, true, false));
        NodeRuntime unix =
            Producer.node("unix", Producer.LEASE, new TransferOptions(1 << 20, false, true))) {
      Random random = new Random(3);
      producer.parts().forEach(part -> fill(part, random));
      for (NodeRuntime consumer : List.of(tcp, unix, tcp)) {
        Handle handle = producer.grant(1);
        ByteBuffer room = floats((int) (handle.getBytes() / Float.BYTES));
        CompletableFuture<PullEnd> ended = new CompletableFuture<>();
        consumer.context().transfers().pull(handle, List.of(room), form, ended::complete);
        assertThat(ended.get(20, TimeUnit.SECONDS))
            .isInstanceOfSatisfying(
                PullEnd.Pulled.class,
                pulled -> {
                  assertThat(pulled.bytes()).isEqualTo(handle.getBytes());
                  assertThat(pulled.moved()).isEqualTo(form.wireBytes(handle.getBytes()));
                });
        int at = 0;
        for (ByteBuffer part : producer.parts()) {
          for (int head = 0; head < partHeads; head++) {
            ByteBuffer source = part.slice(head * form.headBytes(), form.headBytes());
            assertThat(room.slice(at, form.headBytes())).isEqualTo(thereAndBack(form, source));
            at += form.headBytes();
          }
        }
        producer.assertEmpty();
      }
    }
  }

  /** Two heads and a half in each. */
  @Example
  void blocksOfAnotherShapeAreRefused() throws Exception {
    try (Producer producer = new Producer(Producer.LEASE, true, 1, 1280, 4);
        NodeRuntime consumer =
            Producer.node("consumer", Producer.LEASE, TransferOptions.defaults())) {
      Handle handle = producer.grant(1);
      CompletableFuture<PullEnd> ended = new CompletableFuture<>();
      consumer
          .context()
          .transfers()
          .pull(handle, List.of(floats(1280)), new Int8Kv(4, 4), ended::complete);
      assertThat(ended.get(20, TimeUnit.SECONDS)).isInstanceOf(PullEnd.Failed.class);
      producer.assertEmpty();
    }
  }
}
