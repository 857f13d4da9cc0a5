package io.epidote.trainer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Reads and writes F32 safetensors files: 8 bytes of header length, a JSON header, then the data.
 */
final class Safetensors {
  /**
   * A tensor on the heap.
   *
   * @param shape dimensions
   * @param data row-major values
   */
  record Tensor(long[] shape, float[] data) {
    Tensor {
      long size = Arrays.stream(shape).reduce(1, Math::multiplyExact);
      if (size != data.length) {
        throw new IllegalArgumentException(
            "shape " + Arrays.toString(shape) + " needs " + size + " values, got " + data.length);
      }
    }
  }

  private Safetensors() {}

  /** Writes the tensors in the order of the map. */
  static void write(Path file, Map<String, Tensor> tensors) throws IOException {
    ObjectNode header = new ObjectMapper().createObjectNode();
    header.putObject("__metadata__").put("format", "pt");
    long offset = 0;
    for (var entry : tensors.entrySet()) {
      ObjectNode node = header.putObject(entry.getKey()).put("dtype", "F32");
      var shape = node.putArray("shape");
      Arrays.stream(entry.getValue().shape()).forEach(shape::add);
      long end = offset + 4L * entry.getValue().data().length;
      node.putArray("data_offsets").add(offset).add(end);
      offset = end;
    }
    StringBuilder json = new StringBuilder(header.toString());
    while (json.length() % 8 != 0) {
      json.append(' '); // the data starts 8-aligned
    }
    byte[] head = json.toString().getBytes(StandardCharsets.UTF_8);
    ByteBuffer out =
        ByteBuffer.allocate(Math.toIntExact(8 + head.length + offset))
            .order(ByteOrder.LITTLE_ENDIAN);
    out.putLong(head.length).put(head);
    for (Tensor tensor : tensors.values()) {
      for (float value : tensor.data()) {
        out.putFloat(value);
      }
    }
    Path part = file.resolveSibling(file.getFileName() + ".part");
    Files.write(part, out.array());
    Files.move(part, file, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
  }

  /** Reads every tensor of a file. */
  static Map<String, Tensor> read(Path file) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      ByteBuffer in =
          channel
              .map(FileChannel.MapMode.READ_ONLY, 0, channel.size())
              .order(ByteOrder.LITTLE_ENDIAN);
      byte[] head = new byte[Math.toIntExact(in.getLong())];
      in.get(head);
      int start = in.position();
      JsonNode header = new ObjectMapper().readTree(head);
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      for (var entry : header.properties()) {
        JsonNode node = entry.getValue();
        if (entry.getKey().equals("__metadata__")) {
          continue;
        }
        if (!node.path("dtype").asText().equals("F32")) {
          throw new IOException(
              file
                  + ": tensor "
                  + entry.getKey()
                  + " is "
                  + node.path("dtype")
                  + ", this reader takes F32");
        }
        long[] shape = new long[node.path("shape").size()];
        for (int i = 0; i < shape.length; i++) {
          shape[i] = node.path("shape").get(i).asLong();
        }
        long from = node.path("data_offsets").get(0).asLong();
        long to = node.path("data_offsets").get(1).asLong();
        float[] data = new float[Math.toIntExact((to - from) / 4)];
        in.slice(Math.toIntExact(start + from), Math.toIntExact(to - from))
            .order(ByteOrder.LITTLE_ENDIAN)
            .asFloatBuffer()
            .get(data);
        tensors.put(entry.getKey(), new Tensor(shape, data));
      }
      return tensors;
    }
  }
}
