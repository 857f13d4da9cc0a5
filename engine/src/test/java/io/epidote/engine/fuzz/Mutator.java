package io.epidote.engine.fuzz;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Changes bytes as fuzzers usually do: bits, numbers at their limits, parts moved, doubled, gone.
 */
final class Mutator {
  private static final int MOST_BYTES = 256 << 10;
  private static final long[] NUMBERS = {
    0,
    1,
    -1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    Integer.MAX_VALUE,
    Integer.MIN_VALUE,
    0x7FFFFFFFL + 1,
    0xFFFFFFFFL,
    Long.MAX_VALUE,
    Long.MIN_VALUE,
    1L << 40
  };
  private static final List<byte[]> WORDS =
      List.of(
              "0",
              "-1",
              "9223372036854775808",
              "1e999",
              "NaN",
              "null",
              "{}",
              "[]",
              "\"\"",
              "\\u0000",
              "\r\n",
              "\r\n\r\n",
              ":",
              ",",
              "%00",
              "../",
              "F64",
              "I64",
              "BF16",
              "chunked",
              "\u00ff")
          .stream()
          .map(word -> word.getBytes(StandardCharsets.ISO_8859_1))
          .toList();

  private Mutator() {}

  static byte[] change(SplittableRandom random, List<byte[]> corpus, int times) {
    byte[] bytes = corpus.get(random.nextInt(corpus.size())).clone();
    for (int i = 0; i < times; i++) {
      bytes = once(random, corpus, bytes);
    }
    return bytes;
  }

  private static byte[] once(SplittableRandom random, List<byte[]> corpus, byte[] bytes) {
    if (bytes.length == 0) {
      return random(random, 1 + random.nextInt(64));
    }
    // Headers decide most; so every other change is near the beginning.
    int at = random.nextInt(random.nextBoolean() ? Math.min(64, bytes.length) : bytes.length);
    int length = 1 + random.nextInt(Math.min(bytes.length - at, 1 << random.nextInt(1, 12)));
    return switch (random.nextInt(11)) {
      case 0 -> {
        bytes[at] ^= (byte) (1 << random.nextInt(8));
        yield bytes;
      }
      case 1 -> {
        bytes[at] = (byte) random.nextInt();
        yield bytes;
      }
      case 2, 3 -> number(random, bytes, at);
      case 4 -> replaced(bytes, at, length, new byte[0]);
      case 5 -> replaced(bytes, at, 0, Arrays.copyOfRange(bytes, at, at + length));
      case 6 -> replaced(bytes, at, length, random(random, length));
      case 7 -> Arrays.copyOf(bytes, at);
      case 8 -> replaced(bytes, at, 0, WORDS.get(random.nextInt(WORDS.size())));
      case 9 -> {
        byte[] word = WORDS.get(random.nextInt(WORDS.size()));
        yield replaced(bytes, at, Math.min(word.length, bytes.length - at), word);
      }
      default -> {
        byte[] other = corpus.get(random.nextInt(corpus.size()));
        int from = random.nextInt(other.length + 1);
        yield replaced(bytes, at, length, Arrays.copyOfRange(other, from, other.length));
      }
    };
  }

  private static byte[] number(SplittableRandom random, byte[] bytes, int at) {
    long value = NUMBERS[random.nextInt(NUMBERS.length)] + random.nextInt(-1, 2);
    int width = Math.min(1 << random.nextInt(4), bytes.length - at);
    boolean little = random.nextBoolean();
    for (int i = 0; i < width; i++) {
      bytes[at + (little ? i : width - 1 - i)] = (byte) (value >>> (8 * i));
    }
    return bytes;
  }

  private static byte[] random(SplittableRandom random, int length) {
    byte[] made = new byte[length];
    random.nextBytes(made);
    return made;
  }

  private static byte[] replaced(byte[] bytes, int at, int length, byte[] by) {
    int size = Math.min(MOST_BYTES, bytes.length - length + by.length);
    byte[] made = new byte[bytes.length - length + by.length];
    System.arraycopy(bytes, 0, made, 0, at);
    System.arraycopy(by, 0, made, at, by.length);
    System.arraycopy(bytes, at + length, made, at + by.length, bytes.length - at - length);
    return made.length > size ? Arrays.copyOf(made, size) : made;
  }
}
