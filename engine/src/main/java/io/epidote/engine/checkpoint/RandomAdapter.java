package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/**
 * Writes ESFT adapters with bf16 weights, random ones or the base's: for measuring what adapters
 * cost.
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
    int experts = base.config().text().moe().orElseThrow().experts();
    SplittableRandom random = new SplittableRandom(number);
    return write(
        root.resolve("%s-esft-%d-%d".formatted(base.name(), perLayer, number)),
        base,
        _ -> {
          int first = random.nextInt(experts);
          return IntStream.range(0, perLayer)
              .mapToObj(i -> (first + i) % experts)
              .sorted()
              .toList();
        },
        RandomCheckpoint.random(number));
  }

  /**
   * The folder of an adapter that has all experts and changes none, written first when it is not
   * there: all of a step's tokens take weights of the adapter, and the answers are the base's.
   *
   * @param base a checkpoint as above, of bf16
   */
  public static Path copy(Path root, Checkpoint base) {
    int experts = base.config().text().moe().orElseThrow().experts();
    return write(
        root.resolve("%s-esft-copy".formatted(base.name())),
        base,
        _ -> IntStream.range(0, experts).boxed().toList(),
        (tensor, shape, values) -> {
          FloatBuffer floats = FloatBuffer.allocate(values.limit());
          base.readFloats(tensor, floats, shape);
          for (int i = 0; i < values.limit(); i++) {
            values.put(i, RandomCheckpoint.bf16(floats.get(i)));
          }
        });
  }

  private static Path write(
      Path folder,
      Checkpoint base,
      IntFunction<List<Integer>> expertsOfLayer,
      RandomCheckpoint.Filling filling) {
    if (Files.isDirectory(folder)) {
      return folder;
    }
    TextConfig text = base.config().text();
    MoeConfig moe = text.moe().orElseThrow();
    Map<Integer, List<Integer>> experts = new TreeMap<>();
    RandomCheckpoint weights = new RandomCheckpoint();
    for (int layer = 0; layer < text.layers(); layer++) {
      List<Integer> own = expertsOfLayer.apply(layer);
      experts.put(layer, own);
      for (int expert : own) {
        weights.addExpert(TensorNames.of(base).text() + "layers." + layer + ".", text, moe, expert);
      }
    }
    Path root = folder.getParent();
    try {
      Files.createDirectories(root);
      Path draft = Files.createTempDirectory(root, "draft-");
      Map<String, Object> config = new LinkedHashMap<>();
      config.put("experts", experts);
      config.put("shared_experts", false);
      config.put("non_expert_modules", false);
      Files.writeString(
          draft.resolve(AdapterConfig.ESFT_FILE), new ObjectMapper().writeValueAsString(config));
      weights.write(draft.resolve("adapter.safetensors"), filling);
      Files.move(draft, folder, StandardCopyOption.ATOMIC_MOVE);
      return folder;
    } catch (IOException e) {
      throw new UncheckedIOException("The adapter cannot be written to " + root, e);
    }
  }
}
