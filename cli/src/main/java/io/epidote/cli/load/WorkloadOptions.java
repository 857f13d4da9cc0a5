package io.epidote.cli.load;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a named workload's requests are made of. A null leaves it to the workload.
 *
 * @param pictures of a request, or frames where it is a video
 * @param sizes of pictures, one of which is drawn for each
 * @param inputTokens of text
 * @param outputTokens of the answer
 * @param vocabulary tokens to choose from
 * @param english whether the text is of English words, about a token each, in place of the words
 *     w0, w1, ... of a shape's tokenizer
 * @param sharing requests that share a document
 * @param headersOnly whether pictures have no pixels, for emulated devices
 * @param seed chooses everything
 */
public record WorkloadOptions(
    @Nullable Range pictures,
    List<PictureFiles.Size> sizes,
    @Nullable Range inputTokens,
    @Nullable Range outputTokens,
    int vocabulary,
    boolean english,
    int sharing,
    boolean headersOnly,
    long seed) {}
