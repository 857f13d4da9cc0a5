package io.epidote.cli.load;

import io.epidote.cli.load.PictureFiles.Size;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Workloads by name. Those named after a data set have its shape and none of its content. */
public final class Workloads {
  /** For help. */
  public static final List<String> NAMES =
      List.of("random", "nextqa", "videomme", "document", "egocentric", "phases");

  private static final List<Size> PHOTO = List.of(new Size(1280, 960));

  private Workloads() {}

  /**
   * A workload.
   *
   * @param name one of {@link #NAMES}, or a JSONL file
   * @throws InvalidRequest when there is neither
   */
  public static Workload named(String name, WorkloadOptions options) {
    Maker make = new Maker(options);
    return switch (name) {
      case "random" ->
          make.shape(name, new Range(0, 0), PHOTO, new Range(128, 128), new Range(64, 64));
      // Short clips of 640x480, eight frames of each, and open questions of a dozen words that are
      // answered in one (Xiao et al., NExT-QA, CVPR 2021).
      case "nextqa" ->
          make.shape(
              name,
              new Range(8, 8),
              List.of(new Size(640, 480)),
              new Range(8, 20),
              new Range(1, 8));
      // Long videos of 1280x720, 64 frames, and multiple choice: long questions, an answer of a
      // letter or a line (Fu et al., Video-MME, CVPR 2025).
      case "videomme" ->
          make.shape(
              name,
              new Range(64, 64),
              List.of(new Size(1280, 720)),
              new Range(40, 90),
              new Range(1, 10));
      case "document" -> make.document(name);
      case "egocentric" -> make.egocentric(name);
      case "phases" -> make.phases(name);
      default -> {
        if (name.endsWith(".jsonl") || name.contains("/")) {
          yield JsonlWorkload.read(Path.of(name), options);
        }
        throw new InvalidRequest(
            "There is no workload \"%s\"; expected %s, or a file whose name ends in .jsonl"
                .formatted(name, String.join(", ", NAMES)));
      }
    };
  }

  /** The parts of which requests are made. Used by one thread. */
  static final class Maker {
    /** Ids below are special tokens in most vocabularies. */
    private static final int FIRST_WORD = 16;

    private static final String[] ENGLISH =
        "the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know"
            .split(" ");

    private final WorkloadOptions options;
    private final SplittableRandom random;
    private final PictureFiles pictures;

    Maker(WorkloadOptions options) {
      this.options = options;
      this.random = new SplittableRandom(options.seed());
      this.pictures = new PictureFiles(random.nextLong(), options.headersOnly());
    }

    private Range or(@Nullable Range asked, Range usual) {
      return asked == null ? usual : asked;
    }

    private List<Size> sizes(List<Size> usual) {
      return options.sizes().isEmpty() ? usual : options.sizes();
    }

    byte[] picture(List<Size> sizes) {
      return pictures.next(sizes.get(random.nextInt(sizes.size())));
    }

    /** A request whose prompt is random. */
    LoadRequest request(List<byte[]> files, int inputTokens, int outputTokens, String phase) {
      int[] ids =
          random
              .ints(
                  inputTokens, Math.min(FIRST_WORD, options.vocabulary() - 1), options.vocabulary())
              .toArray();
      return LoadRequest.of(files, text(ids), ids, outputTokens, phase);
    }

    private String text(int[] ids) {
      return Arrays.stream(ids)
          .mapToObj(id -> options.english() ? ENGLISH[id % ENGLISH.length] : "w" + id)
          .collect(Collectors.joining(" "));
    }

    private List<byte[]> newPictures(int count, List<Size> sizes) {
      return IntStream.range(0, count).mapToObj(_ -> picture(sizes)).toList();
    }

    Workload shape(
        String name, Range usualPictures, List<Size> usualSizes, Range usualIn, Range usualOut) {
      Range count = or(options.pictures(), usualPictures);
      List<Size> sizes = sizes(usualSizes);
      Range in = or(options.inputTokens(), usualIn);
      Range out = or(options.outputTokens(), usualOut);
      return new Made(
          name,
          (_, _) ->
              request(
                  newPictures(count.draw(random), sizes), in.draw(random), out.draw(random), ""));
    }

    /** Several questions in a row about the pages of one document. */
    Workload document(String name) {
      Range pages = or(options.pictures(), new Range(4, 4));
      List<Size> sizes = sizes(List.of(new Size(1240, 1754)));
      Range in = or(options.inputTokens(), new Range(1000, 1000));
      Range out = or(options.outputTokens(), new Range(64, 64));
      int question = 20;
      return new Made(
          name,
          new Source() {
            private List<byte[]> document = List.of();
            private LoadRequest text = request(List.of(), 0, 0, "");
            private int asked;

            @Override
            public LoadRequest next(int index, int count) {
              if (asked++ % options.sharing() == 0) {
                document = newPictures(pages.draw(random), sizes);
                text = request(document, Math.max(0, in.draw(random) - question), 0, "");
              }
              LoadRequest own = request(List.of(), question, 0, "");
              int[] ids =
                  IntStream.concat(Arrays.stream(text.tokenIds()), Arrays.stream(own.tokenIds()))
                      .toArray();
              return LoadRequest.of(
                  document, text.text() + " " + own.text(), ids, out.draw(random), "");
            }
          });
    }

    /** Several cameras, each asking about its last frames, of which one is new each time. */
    Workload egocentric(String name) {
      int cameras = 8;
      Range frames = or(options.pictures(), new Range(4, 4));
      List<Size> sizes = sizes(List.of(new Size(640, 480)));
      Range in = or(options.inputTokens(), new Range(10, 30));
      Range out = or(options.outputTokens(), new Range(8, 24));
      List<Deque<byte[]>> seen = new ArrayList<>();
      for (int i = 0; i < cameras; i++) {
        seen.add(new ArrayDeque<>());
      }
      return new Made(
          name,
          (_, _) -> {
            Deque<byte[]> camera = seen.get(random.nextInt(cameras));
            int wanted = frames.draw(random);
            camera.addLast(picture(sizes));
            while (camera.size() < wanted) {
              camera.addLast(picture(sizes));
            }
            while (camera.size() > wanted) {
              camera.removeFirst();
            }
            return request(List.copyOf(camera), in.draw(random), out.draw(random), "");
          });
    }

    /** In the run's first half short answers, in its second ones that are eight times as long. */
    Workload phases(String name) {
      Range count = or(options.pictures(), new Range(1, 1));
      List<Size> sizes = sizes(PHOTO);
      Range in = or(options.inputTokens(), new Range(64, 64));
      Range out = or(options.outputTokens(), new Range(16, 16));
      return new Made(
          name,
          (index, all) -> {
            boolean first = 2 * index < all;
            return request(
                newPictures(count.draw(random), sizes),
                in.draw(random),
                out.draw(random) * (first ? 1 : 8),
                first ? "short answers" : "long answers");
          });
    }
  }

  private interface Source {
    LoadRequest next(int index, int count);
  }

  private record Made(String name, Source source) implements Workload {
    Made {
      Objects.requireNonNull(source, "source is null");
    }

    @Override
    public LoadRequest next(int index, int count) {
      return source.next(index, count);
    }
  }
}
