package io.epidote.engine.emulated;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StageCost;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * An accelerator that is emulated: what steps of a model take on it, and what else of it matters.
 *
 * @param word by which it can be {@link #parse parsed} again
 * @param encode of batches of tiles
 * @param prefill of chunks of more than one token
 * @param decode of chunks of one token
 * @param pictureMs from a file to its tiles; empty: files are really decoded
 * @param memory empty: pools are as nodes are told
 * @param link empty: transfers are as fast as they are
 * @param model empty: the sizes are those of the folder that is served
 * @param timeScale how many times faster than the clock the device's time runs
 */
public record CostProfile(
    String word,
    StageCost encode,
    StageCost prefill,
    StageCost decode,
    OptionalDouble pictureMs,
    Optional<DeviceMemory> memory,
    Optional<DeviceLink> link,
    Optional<EmulatedShape> model,
    double timeScale) {
  static final String PICTURE = "picture_ms";

  public CostProfile {
    requireNonNull(word, "word is null");
  }

  /**
   * Reads {@code tile_ms:20,prompt_token_ms:0.1}, or the path of a JSON file (docs/profiles.md).
   *
   * @throws InvalidRequest naming what is not a cost, or not a duration
   */
  public static CostProfile parse(String text) {
    boolean costs = text.contains(":") && !Files.isRegularFile(Path.of(text));
    return costs ? ofCosts(text, pairs(text)) : ProfileFile.read(Path.of(text));
  }

  private static Map<String, Double> pairs(String text) {
    Map<String, Double> values = new LinkedHashMap<>();
    for (String part : text.split(",", -1)) {
      String[] pair = part.strip().split(":", -1);
      if (pair.length != 2 || values.put(pair[0], milliseconds(pair[0], pair[1])) != null) {
        throw new InvalidRequest(
            "'%s' in the cost profile '%s' is not of the form NAME:MILLISECONDS, each name once; expected for example tile_ms:20,prompt_token_ms:0.1"
                .formatted(part, text));
      }
    }
    return values;
  }

  private static double milliseconds(String name, String value) {
    try {
      return Double.parseDouble(value.strip());
    } catch (NumberFormatException e) {
      throw new InvalidRequest(
          "The cost %s is '%s'; expected milliseconds, 0 to 600000".formatted(name, value), e);
    }
  }

  /** Costs alone, by their terms' names. */
  static CostProfile ofCosts(String word, Map<String, Double> costs) {
    Map<String, Double> unknown = new LinkedHashMap<>(costs);
    unknown.remove(PICTURE);
    String known = PICTURE;
    for (CostStage stage : CostStage.values()) {
      unknown.keySet().removeAll(stage.terms());
      known += ", " + String.join(", ", stage.terms());
    }
    if (!unknown.isEmpty()) {
      throw new InvalidRequest(
          "'%s' is not a cost; expected some of %s"
              .formatted(String.join(", ", unknown.keySet()), known));
    }
    costs.forEach((name, ms) -> {
      if (!(ms >= 0 && ms <= 600_000)) {
        throw new InvalidRequest(
            "The cost %s is '%s'; expected milliseconds, 0 to 600000".formatted(name, ms));
      }
    });
    return new CostProfile(
        word,
        StageCost.of(CostStage.ENCODE, costs),
        StageCost.of(CostStage.PREFILL, costs),
        StageCost.of(CostStage.DECODE, costs),
        costs.containsKey(PICTURE) ? OptionalDouble.of(costs.get(PICTURE)) : OptionalDouble.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        1);
  }

  /** The same device with its time running that many times faster than the clock. */
  public CostProfile faster(double times) {
    if (!(times >= 0.01 && times <= 1000)) {
      throw new InvalidRequest(
          "Emulated time cannot run %s times faster than the clock; expected 0.01 to 1000"
              .formatted(times));
    }
    return new CostProfile(
        word,
        encode.faster(times),
        prefill.faster(times),
        decode.faster(times),
        pictureMs.isPresent()
            ? OptionalDouble.of(pictureMs.getAsDouble() / times)
            : OptionalDouble.empty(),
        memory,
        link.map(of -> new DeviceLink(of.gigabytesPerSecond() * times, of.latencyMs() / times)),
        model,
        timeScale * times);
  }

  /** Bytes of the device for which one of a block's stands. */
  public int byteScale() {
    return model.map(EmulatedShape::byteScale).orElse(1);
  }

  /** Milliseconds of a term by its name; 0 where the profile names none. */
  public double ms(String term) {
    for (StageCost cost : new StageCost[] {encode, prefill, decode}) {
      if (cost.stage().terms().contains(term)) {
        return cost.of(term);
      }
    }
    throw new IllegalArgumentException(term + " is no term of any stage");
  }
}
