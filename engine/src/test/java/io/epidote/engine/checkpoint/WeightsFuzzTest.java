package io.epidote.engine.checkpoint;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.fuzz.Fuzz;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files of weights and adapters with changed bytes are read, or told to be no such files. */
class WeightsFuzzTest {
  private static final long MOST_MILLIS = 1000;
  private static final long MOST_BYTES = 64L << 20;

  @TempDir Path folder;

  private byte[] weights(DType type) throws Exception {
    Path file = folder.resolve("good.safetensors");
    SafetensorsWriter.write(
        file,
        Map.of(
            "a.weight", new Tensor(List.of(2L, 3L), new float[] {1, 2, 3, 4, 5, 6}),
            "b.bias", new Tensor(List.of(4L), new float[4])),
        type);
    return Files.readAllBytes(file);
  }

  @Test
  void changedSafetensorsAreReadOrRefused() throws Exception {
    Path file = folder.resolve("changed.safetensors");
    long count =
        new Fuzz(
                "safetensors",
                List.of(weights(DType.F32), weights(DType.BF16)),
                MOST_MILLIS,
                MOST_BYTES)
            .run(input -> {
              Files.write(file, input);
              try (Arena arena = Arena.ofConfined()) {
                SafetensorsFile read = SafetensorsFile.open(file, arena);
                for (TensorInfo tensor : read.tensors().values()) {
                  // Whatever the header says lies within the file.
                  assertThat(read.slice(tensor).byteSize()).isLessThanOrEqualTo(input.length);
                }
                return true;
              } catch (BadCheckpoint e) {
                return false;
              }
            });
    assertThat(count).isPositive();
  }

  @Test
  void changedAdaptersAreReadOrRefused() throws Exception {
    Path esft =
        AdapterFixture.esft(
            Files.createDirectory(folder.resolve("esft")), Form.SCENES, Map.of(0, List.of(1)), 3);
    Path lora = Files.createDirectory(folder.resolve("lora"));
    CheckpointFixture.writeJson(
        lora.resolve("adapter_config.json"),
        AdapterFixture.loraConfig(2, 4, List.of("q_proj", "v_proj")));
    SafetensorsWriter.write(
        lora.resolve("adapter_model.safetensors"),
        Map.of(
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
            new Tensor(List.of(2L, 3L), new float[6]),
            "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
            new Tensor(List.of(3L, 2L), new float[6])),
        DType.F32);
    List<Path> files =
        List.of(
            esft.resolve("expert_cfg.json"),
            esft.resolve("adapter.safetensors"),
            lora.resolve("adapter_config.json"),
            lora.resolve("adapter_model.safetensors"));
    for (Path file : files) {
      Path adapterFolder = requireNonNull(file.getParent());
      byte[] good = Files.readAllBytes(file);
      new Fuzz(file.getFileName().toString(), List.of(good), MOST_MILLIS, MOST_BYTES)
          .run(input -> {
            Files.write(file, input);
            try (AdapterFolder adapter = AdapterFolder.open(adapterFolder)) {
              return adapter != null;
            } catch (BadCheckpoint e) {
              return false;
            }
          });
      Files.write(file, good);
    }
  }
}
