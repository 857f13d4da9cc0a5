package io.epidote.engine.checkpoint;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class CheckpointTest {
  private static final String Q_PROJ = "model.layers.0.self_attn.q_proj.weight";
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(Form.class)
  void handsOutEveryTensorAsWritten(Form form) {
    CheckpointFixture.write(form, folder, 3);
    Map<String, Tensor> written = CheckpointFixture.tensors(form, 3);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      assertThat(checkpoint.tensorNames()).isEqualTo(written.keySet());
      written.forEach(
          (name, tensor) -> assertThat(read(checkpoint, name, tensor)).isEqualTo(tensor.values()));
    }
  }

  @Test
  void mapsTensorsWithoutACopy() {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 3);
    Tensor written = requireNonNull(CheckpointFixture.tensors(Form.LLAMA_TIED, 3).get(Q_PROJ));
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      MemorySegment tensor = checkpoint.tensor(Q_PROJ, 64, 64);
      assertThat(tensor.isMapped()).isTrue();
      assertThat(tensor.isReadOnly()).isTrue();
      assertThat(tensor.byteSize()).isEqualTo(64 * 64 * 4);
      assertThat(tensor.get(F32, 4 * 77)).isEqualTo(written.values()[77]);
    }
  }

  @Test
  void readsShards() {
    CheckpointFixture.write(Form.MIXTRAL, folder, 4);
    Map<String, Tensor> written = CheckpointFixture.tensors(Form.MIXTRAL, 4);
    CheckpointFixture.shard(folder, written, 3);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      assertThat(checkpoint.tensorNames()).isEqualTo(written.keySet());
      written.forEach(
          (name, tensor) -> assertThat(read(checkpoint, name, tensor)).isEqualTo(tensor.values()));
      assertThat(checkpoint.info(Q_PROJ).file().getFileName().toString())
          .matches("model-0000\\d-of-00003.safetensors");
    }
  }

  @ParameterizedTest
  @CsvSource({"F16, 0.0005", "BF16, 0.004"})
  void convertsHalfPrecision(DType dtype, float tolerance) {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 5);
    Map<String, Tensor> written = CheckpointFixture.tensors(Form.LLAMA_TIED, 5);
    SafetensorsWriter.write(folder.resolve("model.safetensors"), written, dtype);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      assertThat(checkpoint.info(Q_PROJ).dtype()).isEqualTo(dtype);
      Tensor exactTensor = requireNonNull(written.get(Q_PROJ));
      float[] values = read(checkpoint, Q_PROJ, exactTensor);
      for (int i = 0; i < values.length; i++) {
        float exact = exactTensor.values()[i];
        assertThat(Math.abs(values[i] - exact))
            .isLessThanOrEqualTo(Math.abs(exact) * 2 * tolerance);
      }
    }
  }

  @Test
  void convertsKnownHalfBitsExactly() {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 5);
    Tensor tensor = new Tensor(List.of(4L), new float[] {1f, -2.5f, 0f, 65280f});
    for (DType dtype : List.of(DType.F16, DType.BF16, DType.F32)) {
      SafetensorsWriter.write(folder.resolve("model.safetensors"), Map.of("t", tensor), dtype);
      try (Checkpoint checkpoint = Checkpoint.open(folder)) {
        assertThat(read(checkpoint, "t", tensor)).isEqualTo(tensor.values());
      }
    }
  }

  @Test
  void appendsBehindTheDestinationsPositionInItsByteOrder() {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 5);
    Tensor tensor = new Tensor(List.of(2L), new float[] {1.5f, -3f});
    SafetensorsWriter.write(folder.resolve("model.safetensors"), Map.of("t", tensor), DType.F32);
    FloatBuffer bigEndian = ByteBuffer.allocateDirect(16).asFloatBuffer();
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      checkpoint.readFloats("t", bigEndian.position(1), 2);
      assertThat(bigEndian.position()).isEqualTo(3);
      assertThat(bigEndian.get(0)).isZero();
      assertThat(bigEndian.get(1)).isEqualTo(1.5f);
      assertThat(bigEndian.get(2)).isEqualTo(-3f);
      assertThatThrownBy(() -> checkpoint.readFloats("t", bigEndian, 2))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("has 2 elements, the destination room for 1");
    }
  }

  @Test
  void fingerprintChangesWithConfigPreprocessingAndWeights() throws IOException {
    CheckpointFixture.write(Form.SCENES, folder, 1);
    String first = fingerprint();
    assertThat(first).matches("[0-9a-f]{64}").isEqualTo(fingerprint());

    CheckpointFixture.write(Form.SCENES, folder, 2);
    String otherWeights = fingerprint();
    CheckpointFixture.write(Form.SCENES, folder, 1);
    Files.writeString(folder.resolve("preprocessor_config.json"), "{}");
    String otherPreprocessing = fingerprint();
    CheckpointFixture.write(Form.SCENES, folder, 1);
    Files.writeString(folder.resolve("config.json"), "\n", StandardOpenOption.APPEND);
    String otherConfig = fingerprint();
    assertThat(List.of(first, otherWeights, otherPreprocessing, otherConfig))
        .doesNotHaveDuplicates();

    CheckpointFixture.write(Form.SCENES, folder, 1);
    assertThat(fingerprint()).isEqualTo(first);
  }

  @Test
  void remembersDigestsOfSettledFilesAlone() throws IOException {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    Path weights = folder.resolve("model.safetensors");
    Path cache = folder.resolve("cache");
    String first = fingerprint();
    Files.setLastModifiedTime(weights, FileTime.from(Instant.now().plusSeconds(60)));
    assertThat(fingerprint(cache)).isEqualTo(first);
    assertThat(cache.resolve("digests")).doesNotExist();

    FileTime settled = FileTime.from(Instant.now().minusSeconds(60));
    Files.setLastModifiedTime(weights, settled);
    assertThat(fingerprint(cache)).isEqualTo(first);
    assertThat(cache.resolve("digests")).isDirectoryContaining(Files::isRegularFile);
    // Written in place, with the old time put back: only a remembered digest is still the first.
    byte[] bytes = Files.readAllBytes(weights);
    bytes[bytes.length - 1] ^= 1;
    Files.write(weights, bytes);
    Files.setLastModifiedTime(weights, settled);
    assertThat(fingerprint(cache)).isEqualTo(first).isNotEqualTo(fingerprint());
    Files.setLastModifiedTime(weights, FileTime.from(settled.toInstant().plusNanos(1000)));
    assertThat(fingerprint(cache)).isNotEqualTo(first).isEqualTo(fingerprint());
  }

  @Test
  void closedCheckpointsCannotBeRead() {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    Checkpoint checkpoint = Checkpoint.open(folder);
    MemorySegment tensor = checkpoint.tensor(Q_PROJ, 64, 64);
    checkpoint.close();
    checkpoint.close();
    assertThatThrownBy(() -> tensor.get(F32, 0)).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void tellsAMissingFolder() {
    assertBad("is not a folder", folder.resolve("nowhere"));
  }

  @Test
  void tellsAMissingConfig() {
    assertBad("config.json is missing from " + folder, folder);
  }

  @Test
  void tellsAMalformedConfig() throws IOException {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    Files.writeString(folder.resolve("config.json"), "{\"model_type\": ");
    assertBad("config.json is not JSON", folder);
    Files.writeString(folder.resolve("config.json"), "");
    assertBad("config.json holds nothing, expected a JSON object", folder);
  }

  @Test
  void tellsMissingWeights() throws IOException {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    Files.delete(folder.resolve("model.safetensors"));
    assertBad("has no weights; expected model.safetensors", folder);
  }

  @Test
  void tellsAMissingTensor() {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      assertThat(checkpoint.has("lm_head.weight")).isFalse();
      assertThatThrownBy(() -> checkpoint.tensor("lm_head.weight", 256, 64))
          .isInstanceOf(BadCheckpoint.class)
          .hasMessageContaining("tensor lm_head.weight is missing from " + folder)
          .hasMessageContaining("model.safetensors");
    }
  }

  @Test
  void tellsAMisshapedTensor() {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      assertThatThrownBy(() -> checkpoint.tensor(Q_PROJ, 64, 32))
          .isInstanceOf(BadCheckpoint.class)
          .hasMessageContaining(folder.resolve("model.safetensors").toString())
          .hasMessageContaining(Q_PROJ + " has shape [64, 64], but config.json makes it [64, 32]");
    }
  }

  @ParameterizedTest
  @CsvSource({"0", "7", "100", "20000", "-1"})
  void tellsATruncatedFile(long bytes) throws IOException {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    try (FileChannel channel =
        FileChannel.open(folder.resolve("model.safetensors"), StandardOpenOption.WRITE)) {
      channel.truncate(bytes < 0 ? channel.size() + bytes : bytes);
    }
    assertBad("model.safetensors is truncated", folder);
  }

  @Test
  void tellsTensorsThatAreNotFloats() {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    writeHeader("{\"t\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]}}", 16);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      assertThatThrownBy(() -> checkpoint.readFloats("t", FloatBuffer.allocate(2), 2))
          .isInstanceOf(BadCheckpoint.class)
          .hasMessageContaining("tensor t is of I64, expected F32, F16 or BF16");
    }
  }

  @Test
  void tellsMalformedHeaders() throws IOException {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    assertHeaderBad("[]", "malformed header: ARRAY");
    assertHeaderBad("{\"t\":", "malformed header");
    assertHeaderBad("{\"t\":1,\"t\":2}", "Duplicate field 't'");
    assertHeaderBad(entry("F33", "[2]", "[0,8]"), "has dtype \"F33\", expected one of");
    assertHeaderBad(entry("F32", "[-2]", "[0,8]"), "has shape [-2]");
    assertHeaderBad(entry("F32", "2", "[0,8]"), "has shape 2");
    assertHeaderBad(entry("F32", "[2]", "[0]"), "data_offsets [0]");
    assertHeaderBad(entry("F32", "[2]", "[8,0]"), "begins at byte 8 and ends before it");
    assertHeaderBad(entry("F32", "[3]", "[0,8]"), "has 8 bytes, but shape [3] of F32 needs 12");
    assertHeaderBad(entry("F32", "[4611686018427387904, 4]", "[0,8]"), "which no file can hold");
    assertHeaderBad(entry("F32", "[2]", "[8,16]"), "is truncated: tensor t ends at byte");
    assertHeaderBad(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
            + "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
        "tensor b overlaps tensor a");
    Files.write(folder.resolve("model.safetensors"), "not a safetensors file".getBytes("UTF-8"));
    assertBad("is not a safetensors file", folder);
  }

  @Test
  void tellsBadShards() throws IOException {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    CheckpointFixture.shard(folder, CheckpointFixture.tensors(Form.LLAMA_TIED, 1), 2);
    Path index = folder.resolve("model.safetensors.index.json");
    String good = Files.readString(index);

    Files.writeString(index, good.replace("layers.0.self_attn.q_proj", "layers.9.nothing"));
    assertBad("holds tensor model.layers.9.nothing.weight, but it does not", folder);
    Files.writeString(index, good.replace("model-00002", "../../model-00002"));
    assertBad("expected the name of a file in the folder", folder);
    Files.writeString(index, "{}");
    assertBad("weight_map is missing", folder);
    Files.writeString(index, good);
    Files.delete(folder.resolve("model-00002-of-00002.safetensors"));
    assertBad("model-00002-of-00002.safetensors is missing from " + folder, folder);
  }

  @Test
  void refusesAnUnsupportedModelBeforeItsWeightsAreRead() throws IOException {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    ObjectNode config = CheckpointFixture.config(Form.LLAMA_TIED).put("model_type", "gpt2");
    CheckpointFixture.writeJson(folder.resolve("config.json"), config);
    Files.delete(folder.resolve("model.safetensors"));
    assertBad("model_type = \"gpt2\" is not supported; supported: idefics3", folder);
  }

  private void assertHeaderBad(String header, String message) {
    writeHeader(header, 12);
    assertBad(message, folder);
  }

  private void writeHeader(String header, int dataBytes) {
    SafetensorsWriter.write(folder.resolve("model.safetensors"), header, new byte[dataBytes]);
  }

  private static String entry(String dtype, String shape, String offsets) {
    return "{\"t\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":%s}}"
        .formatted(dtype, shape, offsets);
  }

  private String fingerprint(Path cache) {
    try (Checkpoint checkpoint = Checkpoint.open(folder, cache)) {
      return checkpoint.fingerprint();
    }
  }

  private String fingerprint() {
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      return checkpoint.fingerprint();
    }
  }

  private static void assertBad(String message, Path folder) {
    assertThatThrownBy(() -> Checkpoint.open(folder).close())
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining(message);
  }

  private static float[] read(Checkpoint checkpoint, String name, Tensor tensor) {
    float[] values = new float[tensor.values().length];
    long[] shape = tensor.shape().stream().mapToLong(Long::longValue).toArray();
    checkpoint.readFloats(name, FloatBuffer.wrap(values), shape);
    return values;
  }
}
