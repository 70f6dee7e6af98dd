"""Write all that is kept anew."""

from . import drawn, kept, kept_words, sayings, shown, signatures, told

shown.main()
kept.main()
told.main([])
kept_words.main()
sayings.main()
drawn.main(())
signatures.main()
