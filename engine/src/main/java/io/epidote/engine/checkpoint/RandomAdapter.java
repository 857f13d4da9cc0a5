package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * Writes ESFT adapters of a {@link RandomCheckpoint}, with random bf16 weights: for measuring what
 * adapters cost.
 */
public final class RandomAdapter {
  private RandomAdapter() {}

  /**
   * The folder of an adapter under {@code root}, written first when it is not there.
   *
   * @param base a checkpoint of Mixtral's form without a vision tower
   * @param perLayer experts of its own in each layer
   * @param number tells adapters from each other; which experts they are follows from it
   */
  public static Path folder(Path root, Checkpoint base, int perLayer, int number) {
    Path folder = root.resolve("%s-esft-%d-%d".formatted(base.name(), perLayer, number));
    if (Files.isDirectory(folder)) {
      return folder;
    }
    TextConfig text = base.config().text();
    MoeConfig moe = text.moe().orElseThrow();
    SplittableRandom random = new SplittableRandom(number);
    Map<Integer, List<Integer>> experts = new TreeMap<>();
    RandomCheckpoint weights = new RandomCheckpoint();
    for (int layer = 0; layer < text.layers(); layer++) {
      int first = random.nextInt(moe.experts());
      List<Integer> own =
          IntStream.range(0, perLayer).mapToObj(i -> (first + i) % moe.experts()).sorted().toList();
      experts.put(layer, own);
      for (int expert : own) {
        weights.addExpert(TensorNames.of(base).text() + "layers." + layer + ".", text, moe, expert);
      }
    }
    try {
      Files.createDirectories(root);
      Path draft = Files.createTempDirectory(root, "draft-");
      Map<String, Object> config = new LinkedHashMap<>();
      config.put("experts", experts);
      config.put("shared_experts", false);
      config.put("non_expert_modules", false);
      Files.writeString(
          draft.resolve(AdapterConfig.ESFT_FILE), new ObjectMapper().writeValueAsString(config));
      weights.write(draft.resolve("adapter.safetensors"), number);
      Files.move(draft, folder, StandardCopyOption.ATOMIC_MOVE);
      return folder;
    } catch (IOException e) {
      throw new UncheckedIOException("The adapter cannot be written to " + root, e);
    }
  }
}
