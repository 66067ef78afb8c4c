"""maxwell"""
