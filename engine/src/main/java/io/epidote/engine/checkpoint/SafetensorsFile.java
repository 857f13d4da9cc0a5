package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One mapped safetensors file: eight bytes with the header's length, a JSON header, the tensors.
 * The header is checked whole when the file is opened, so that no tensor can reach outside the file
 * or into another one.
 */
record SafetensorsFile(
    Path file,
    Optional<WeightDigests.Stamp> stamp,
    MemorySegment bytes,
    Map<String, TensorInfo> tensors) {
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfShort HALF =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong HEADER_LENGTH =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /** The limit of Hugging Face's reader. */
  private static final long MAX_HEADER_BYTES = 100_000_000;

  private static final ObjectMapper MAPPER =
      JsonMapper.builder().enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION).build();

  SafetensorsFile {
    tensors = Collections.unmodifiableMap(tensors);
  }

  /** Maps a file for as long as the arena lives. */
  static SafetensorsFile open(Path file, Arena arena) {
    // Taken before the file is opened: the same stamp later says that these bytes are its.
    Optional<WeightDigests.Stamp> stamp = WeightDigests.Stamp.of(file);
    MemorySegment bytes = map(file, arena);
    JsonNode header = readHeader(file, bytes);
    long dataStart = HEADER_LENGTH.byteSize() + bytes.get(HEADER_LENGTH, 0);
    Map<String, TensorInfo> tensors = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> entry : header.properties()) {
      if (!entry.getKey().equals("__metadata__")) {
        TensorInfo tensor =
            readTensor(file, entry.getKey(), entry.getValue(), dataStart, bytes.byteSize());
        tensors.put(tensor.name(), tensor);
      }
    }
    refuseOverlap(file, tensors);
    return new SafetensorsFile(file, stamp, bytes, tensors);
  }

  /** The bytes of one of this file's tensors. */
  MemorySegment slice(TensorInfo tensor) {
    return bytes.asSlice(tensor.offset(), tensor.bytes());
  }

  /**
   * Puts a tensor's elements, converted to float32, at the destination's position and moves the
   * position behind them.
   *
   * @throws BadCheckpoint when they are not floats
   */
  void readFloats(TensorInfo tensor, FloatBuffer destination) {
    long elements = tensor.elements();
    if (destination.remaining() < elements) {
      throw new IllegalArgumentException(
          "tensor %s has %d elements, the destination room for %d"
              .formatted(tensor.name(), elements, destination.remaining()));
    }
    MemorySegment source = slice(tensor);
    int position = destination.position();
    int count = Math.toIntExact(elements);
    switch (tensor.dtype()) {
      case F32 ->
          MemorySegment.copy(
              source,
              F32,
              0,
              MemorySegment.ofBuffer(destination),
              ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(destination.order()),
              0,
              elements);
      case F16 -> {
        for (int i = 0; i < count; i++) {
          destination.put(position + i, Float.float16ToFloat(source.get(HALF, 2L * i)));
        }
      }
      case BF16 -> {
        for (int i = 0; i < count; i++) {
          // bfloat16 is the upper half of a float32.
          destination.put(position + i, Float.intBitsToFloat(source.get(HALF, 2L * i) << 16));
        }
      }
      default -> throw notFloats(tensor);
    }
    destination.position(position + count);
  }

  static BadCheckpoint notFloats(TensorInfo tensor) {
    return bad(
        tensor.file(),
        tensor.name(),
        "is of %s, expected F32, F16 or BF16".formatted(tensor.dtype()));
  }

  private static MemorySegment map(Path file, Arena arena) {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      if (channel.size() < HEADER_LENGTH.byteSize()) {
        throw new BadCheckpoint(
            "%s is truncated: it has %d bytes, expected a safetensors file; copy it again"
                .formatted(file, channel.size()));
      }
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
    } catch (NoSuchFileException e) {
      throw new BadCheckpoint(
          "%s is missing from %s; copy the whole model folder"
              .formatted(file.getFileName(), file.getParent()),
          e);
    } catch (IOException e) {
      throw new BadCheckpoint("%s cannot be read: %s".formatted(file, e), e);
    }
  }

  private static JsonNode readHeader(Path file, MemorySegment bytes) {
    long length = bytes.get(HEADER_LENGTH, 0);
    long available = bytes.byteSize() - HEADER_LENGTH.byteSize();
    if (length < 2 || length > MAX_HEADER_BYTES) {
      throw new BadCheckpoint(
          "%s is not a safetensors file: its header would be %s bytes long"
              .formatted(file, Long.toUnsignedString(length)));
    }
    if (length > available) {
      throw new BadCheckpoint(
          "%s is truncated: its header is %d bytes long, but only %d bytes follow; copy it again"
              .formatted(file, length, available));
    }
    byte[] json = bytes.asSlice(HEADER_LENGTH.byteSize(), length).toArray(ValueLayout.JAVA_BYTE);
    JsonNode header;
    try {
      header = MAPPER.readTree(json);
    } catch (JsonProcessingException e) {
      throw new BadCheckpoint(
          "%s has a malformed header: %s".formatted(file, e.getOriginalMessage()), e);
    } catch (IOException e) {
      throw new BadCheckpoint("%s has a malformed header: %s".formatted(file, e), e);
    }
    if (!header.isObject()) {
      throw new BadCheckpoint(
          "%s has a malformed header: %s, expected an object"
              .formatted(file, header.getNodeType()));
    }
    return header;
  }

  private static TensorInfo readTensor(
      Path file, String name, JsonNode entry, long dataStart, long fileBytes) {
    DType dtype;
    try {
      dtype = DType.valueOf(entry.path("dtype").asText());
    } catch (IllegalArgumentException e) {
      throw bad(
          file,
          name,
          "has dtype %s, expected one of %s"
              .formatted(entry.path("dtype"), List.of(DType.values())));
    }
    List<Long> shape = longs(entry.path("shape"));
    List<Long> offsets = longs(entry.path("data_offsets"));
    if (shape == null || offsets == null || offsets.size() != 2) {
      throw bad(
          file,
          name,
          "has shape %s and data_offsets %s, expected a list of sizes and [begin, end]"
              .formatted(entry.path("shape"), entry.path("data_offsets")));
    }
    long begin = offsets.get(0);
    long end = offsets.get(1);
    if (begin > end) {
      throw bad(file, name, "begins at byte %d and ends before it, at %d".formatted(begin, end));
    }
    long expected = expectedBytes(file, name, dtype, shape);
    if (end - begin != expected) {
      throw bad(
          file,
          name,
          "has %d bytes, but shape %s of %s needs %d"
              .formatted(end - begin, shape, dtype, expected));
    }
    if (end > fileBytes - dataStart) {
      throw new BadCheckpoint(
          "%s is truncated: tensor %s ends at byte %d, the file at %d; copy it again"
              .formatted(file, name, dataStart + end, fileBytes));
    }
    return new TensorInfo(name, dtype, shape, file, dataStart + begin, expected);
  }

  private static long expectedBytes(Path file, String name, DType dtype, List<Long> shape) {
    long bytes = dtype.bytes();
    try {
      for (long size : shape) {
        bytes = Math.multiplyExact(bytes, size);
      }
    } catch (ArithmeticException e) {
      throw bad(file, name, "has shape %s, which no file can hold".formatted(shape));
    }
    return bytes;
  }

  /** A list of whole numbers from 0, or null when the node is anything else. */
  private static @Nullable List<Long> longs(JsonNode node) {
    if (!node.isArray()) {
      return null;
    }
    List<Long> values = new ArrayList<>();
    for (JsonNode value : node) {
      if (!value.isIntegralNumber() || !value.canConvertToLong() || value.longValue() < 0) {
        return null;
      }
      values.add(value.longValue());
    }
    return values;
  }

  private static void refuseOverlap(Path file, Map<String, TensorInfo> tensors) {
    List<TensorInfo> ordered = new ArrayList<>(tensors.values());
    ordered.removeIf(tensor -> tensor.bytes() == 0);
    ordered.sort(Comparator.comparingLong(TensorInfo::offset));
    for (int i = 1; i < ordered.size(); i++) {
      TensorInfo before = ordered.get(i - 1);
      if (ordered.get(i).offset() < before.offset() + before.bytes()) {
        throw bad(file, ordered.get(i).name(), "overlaps tensor " + before.name());
      }
    }
  }

  private static BadCheckpoint bad(Path file, String tensor, String what) {
    return new BadCheckpoint("%s: tensor %s %s".formatted(file, tensor, what));
  }
}
