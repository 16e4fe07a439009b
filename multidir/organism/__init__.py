"""The tiny pair: a base and a reasoning model whose causes of backtracking are planted and known."""
