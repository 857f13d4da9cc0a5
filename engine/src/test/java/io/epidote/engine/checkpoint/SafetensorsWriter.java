package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Writes safetensors files, right ones and, by way of {@link #write(Path, String, byte[])}, wrong
 * ones.
 */
public final class SafetensorsWriter {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private SafetensorsWriter() {}

  /** A tensor to write: row-major values. */
  public record Tensor(List<Long> shape, float[] values) {}

  /** Writes all tensors in the map's order as F32, F16 or BF16. */
  public static void write(Path file, Map<String, Tensor> tensors, DType dtype) {
    ObjectNode header = MAPPER.createObjectNode();
    header.putObject("__metadata__").put("format", "pt");
    long offset = 0;
    for (Map.Entry<String, Tensor> entry : tensors.entrySet()) {
      ObjectNode node = header.putObject(entry.getKey()).put("dtype", dtype.name());
      entry.getValue().shape().forEach(node.putArray("shape")::add);
      long end = offset + (long) entry.getValue().values().length * dtype.bytes();
      node.putArray("data_offsets").add(offset).add(end);
      offset = end;
    }
    ByteBuffer data = ByteBuffer.allocate(Math.toIntExact(offset)).order(ByteOrder.LITTLE_ENDIAN);
    for (Tensor tensor : tensors.values()) {
      for (float value : tensor.values()) {
        switch (dtype) {
          case F32 -> data.putFloat(value);
          case F16 -> data.putShort(Float.floatToFloat16(value));
          case BF16 -> data.putShort((short) (Float.floatToRawIntBits(value) >>> 16));
          default -> throw new IllegalArgumentException("cannot write " + dtype);
        }
      }
    }
    write(file, header.toString(), data.array());
  }

  /** Writes a header as it is given, padded to eight bytes, and the data behind it. */
  public static void write(Path file, String header, byte[] data) {
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    int padded = (json.length + 7) / 8 * 8;
    ByteBuffer bytes = ByteBuffer.allocate(8 + padded + data.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(padded).put(json);
    while (bytes.position() < 8 + padded) {
      bytes.put((byte) ' ');
    }
    bytes.put(data);
    try {
      Files.write(file, bytes.array());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
