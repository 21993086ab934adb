package s3

// LimitParts makes the store believe that an upload has so many parts at most.
func (s *Store) LimitParts(n int) { s.maxParts = n }
