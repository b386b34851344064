# SAT's protocol at the model's threshold, and wsolevaluation's maximum over thresholds on the crop.
evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy', protocol='sat'),
    dict(type='mmwsol.MaxBoxAcc', frame_rule='sat', map_class='agnostic'),
    # What Table 3 of the paper calls MaxBoxAccV2: the hit rates at IoU .3, .5 and .7 of one box at one threshold.
    dict(type='mmwsol.MaxBoxAcc', protocol='sat', threshold='model', prefix='sat'),
]
